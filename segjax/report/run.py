"""The report of one run: learning curves, case pictures, and report.md."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import jax
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from ml_collections import ConfigDict

from segjax import files
from segjax.errors import UserError
from segjax.inference.evaluate import changed_data
from segjax.inference.open import Trained, load_trained
from segjax.report import run_text
from segjax.report import text as texts
from segjax.report.run_text import Split
from segjax.report.tables import patients_of, read_json, read_table
from segjax.tasks.base import Task, explained, remarks
from segjax.tasks.metric import Metric
from segjax.train import workdir
from segjax.train.logs import read_rows

MOVED_ON = "No pictures of cases: the prepared set has changed since this table; evaluate again."
# What the report shows of metrics_<split>.json and of env.json.
RESULT = ("split", "step", "count", "metrics")
ENVIRONMENT = ("libraries", "devices", "device_kind", "commit", "parameters", "total_steps")
# One colour a split in all panels, also where it is alone.
COLOURS = {"train": "tab:blue", "validation": "tab:orange"}
HIDDEN = ("learning_rate", "images_per_second", "gradient_norm")


def curves_figure(
    rows: list[dict],
    best: int | None = None,
    metrics: Sequence[Metric] = (),
    measured: str = "",
) -> Figure:
    """One panel a quantity, training and validation together, and the step that was chosen.

    `measured` says on what the validations are (`Task.explained`).
    """
    titles = {metric.name: texts.heading(metric) for metric in metrics}
    series: dict[str, dict[str, list]] = {}
    for row in rows:
        if row["value"] is not None:
            series.setdefault(row["name"], {}).setdefault(row["split"], []).append(row)
    names = [name for name in series if name not in HIDDEN] + ["learning_rate"]
    names = [name for name in names if name in series]
    columns = min(3, len(names))
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(4.2 * columns, 2.8 * lines), layout="constrained")
    panels = np.ravel(figure.subplots(lines, columns, squeeze=False))
    for axes, name in zip(panels, names, strict=False):
        for split, points in series[name].items():
            steps, values = zip(*((p["step"], p["value"]) for p in points), strict=True)
            look = {"label": split, "color": COLOURS.get(split), "linewidth": 1.0, "markersize": 3}
            axes.plot(steps, values, ".-", **look)
        if best is not None:
            axes.axvline(best, color="0.6", linewidth=0.8, linestyle="--", zorder=0)
        axes.set_title(titles.get(name, name.replace("_", " ")), fontsize=9)
        axes.set_xlabel("step", fontsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.tick_params(labelsize=7)
        axes.legend(fontsize=7)
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    chosen = "" if best is None else f" The dashed line is the checkpoint that was chosen, {best}."
    figure.set_label(
        "Over the training, a panel a quantity: of the training, means since the last log (with "
        f"augmentation); of the validation, of its cases{texts.aside(measured)}.{chosen}"
    )
    return figure


def write(
    folder: pathlib.Path,
    trained: Trained | None = None,
    places: Mapping[str, str] | None = None,
    *,
    ended: bool = False,
) -> pathlib.Path:
    """Writes figures/ and report.md of a work folder; returns the report's path.

    `ended` says that the training has come to its end, where that is not written down yet.

    With several processes all call it, since reading a checkpoint takes all; the first one writes.
    """
    config = workdir.open_existing(folder, places)
    workdir.check_writable(folder, "--workdir")
    rows = _read_log(folder)
    results = {path: _read_result(path) for path in sorted(folder.glob("metrics_*.json"))}
    best = next((r["step"] for r in results.values() if r["split"] == "validation"), None)
    pictures: dict[str, Figure] = {}
    environment = read_json(folder / "env.json", *ENVIRONMENT)
    splits: dict[pathlib.Path, Split] = {}
    validations = len({row["step"] for row in rows if row["split"] == "validation"})
    for path, result in results.items():
        split = path.stem.removeprefix("metrics_")
        # Only when there is a table to draw cases of: the curves need no network
        trained = trained or load_trained(folder, places=places, spread=True)
        made, state = trained.experiment, trained.state
        splits[path] = run_text.split_of(result, made.task, validations)
        closed = made.data.obstacle()
        if not closed and result.get("data_digest") not in (None, made.data.digest):
            continue  # its cases are no longer those of the table
        names, columns = read_table(folder / f"predictions_{split}.csv")
        splits[path] = dataclasses.replace(
            splits[path],
            names=names,
            columns=columns,
            patients=patients_of(result, names),
            remarks=remarks(made.task, columns)
            + [f"No pictures of cases: {closed}"] * bool(closed),
            has_test="test" in made.data.splits and made.data.has("test"),
        )
        if not closed:
            figures = made.task.figures(made, state, split, columns, names, trained.devices)
            pictures |= {f"{name}_{split}": figure for name, figure in figures.items()}
    curves = curves_figure(rows, best, *(_curves_of(trained.experiment.task) if trained else ()))
    pictures = {"learning_curves": curves} | pictures
    if jax.process_index() == 0:
        ended = ended or workdir.read_done(folder) is not None
        done = None if ended else max(row["step"] for row in rows)
        lines = _head(folder, config, environment, done)
        if ended and not results:
            lines += [f"**No table: `segjax evaluate --workdir {folder}` makes it.**", ""]
        for path, split in splits.items():
            with _naming(path):
                lines += run_text.section(split, config)
                lines += _notes(split.result, environment, moved_on=split.columns is None)
        lines += run_text.explanation(list(splits.values()), config)
        # The text first: a damaged file leaves the report as it was, pictures and all.
        for name, figure in pictures.items():
            files.write_figure(folder / "figures" / f"{name}.png", figure)
            lines += [f"![{name}](figures/{name}.png)", *_caption(figure), ""]
        files.write_text(folder / "report.md", "\n".join(lines))
    return folder / "report.md"


def _curves_of(task: Task) -> tuple[Sequence[Metric], str]:
    """What the figure of the curves takes of a task."""
    return task.metrics, explained(task).get("validation", "")


def _head(
    folder: pathlib.Path, config: ConfigDict, environment: Mapping, done: int | None
) -> list[str]:
    """The head of a report; UserError naming the file that has something of a wrong kind."""
    # Beside an environment that is whole, what is wrong is the config
    for name, given in (("config", run_text.ANY_ENVIRONMENT), ("env", environment)):
        with _naming(folder / f"{name}.json"):
            lines = run_text.head(config, given, done)
    return lines


def _read_log(folder: pathlib.Path) -> list[dict]:
    """The rows of metrics.jsonl; UserError where none has a value."""
    rows = read_rows(folder / "metrics.jsonl") if (folder / "metrics.jsonl").exists() else []
    if not any(row["value"] is not None for row in rows):
        raise UserError(f"{folder}: no value in metrics.jsonl; train first")
    return rows


def _read_result(path: pathlib.Path) -> dict:
    """What a metrics_<split>.json says, whose table has to lie beside it.

    Older ones call the baseline `trivial`.
    """
    _check_table(path)
    result = read_json(path, *RESULT)
    if "baseline" not in result and "trivial" not in result:
        raise UserError(f"{path}: cannot read it: it has no 'baseline'; train or evaluate again")
    return {"baseline": result.get("trivial"), **result}


def _check_table(path: pathlib.Path) -> None:
    """UserError unless a metrics_<split>.json has its own predictions_<split>.csv beside it."""
    split = path.stem.removeprefix("metrics_")
    table = path.with_name(f"predictions_{split}.csv")
    if not table.exists():
        raise UserError(f"{table}: missing, the table of {path.name}; evaluate again")
    if not workdir.of_one_evaluation(path.parent, split):
        raise UserError(f"{path}: is of another evaluation than {table.name}; evaluate again")


@contextlib.contextmanager
def _naming(path: pathlib.Path) -> Iterator[None]:
    """UserError naming a file of JSON whose values are not of the kinds that they should be."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        line = f"{path}: cannot read it: {error}; train or evaluate again"
        raise UserError(line) from error


def _caption(figure: Figure) -> list[str]:
    """The label of a figure, which says what it shows, below it."""
    return ["", figure.get_label()] if figure.get_label() else []


def _notes(result: dict, environment: dict, moved_on: bool) -> list[str]:
    """Remarks on the data of a table."""
    lines = []
    if result.get("data_changed"):
        trained = environment["data"]["digest"]
        lines += [f"**{changed_data(result['data_digest'], trained)}.**", ""]
    return lines + ([MOVED_ON, ""] if moved_on else [])
