"""The report of one run: learning curves, case pictures, and report.md."""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import jax
import numpy as np
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from segjax import files
from segjax.errors import UserError
from segjax.inference.evaluate import changed_data
from segjax.inference.open import Trained, load_trained
from segjax.metrics.statistics import mean
from segjax.report.tables import read_json, read_table
from segjax.tasks.metric import Columns, Metric
from segjax.train import workdir
from segjax.train.logs import read_rows

MOVED_ON = "No pictures of cases: the prepared set has changed since this table; evaluate again."
# What the report shows of metrics_<split>.json and of env.json.
RESULT = ("split", "step", "count", "metrics")
ENVIRONMENT = ("libraries", "devices", "device_kind", "commit", "parameters", "total_steps")
HIDDEN = ("learning_rate", "images_per_second", "gradient_norm")


def curves_figure(rows: list[dict]) -> Figure:
    """One panel a quantity, training and validation together."""
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
            axes.plot(steps, values, ".-", label=split, linewidth=1.0, markersize=3)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("step", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.legend(fontsize=7)
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    return figure


def write(
    folder: pathlib.Path,
    trained: Trained | None = None,
    places: Mapping[str, str] | None = None,
) -> pathlib.Path:
    """Writes figures/ and report.md of a work folder; returns the report's path.

    With several processes all call it, since reading a checkpoint takes all; the first one writes.
    """
    config = workdir.open_existing(folder, places)
    workdir.check_writable(folder, "--workdir")
    rows = read_rows(folder / "metrics.jsonl") if (folder / "metrics.jsonl").exists() else []
    if not any(row["value"] is not None for row in rows):
        raise UserError(f"{folder}: no value in metrics.jsonl; train first")
    pictures = {"learning_curves": curves_figure(rows)}
    results = {path: _read_result(path) for path in sorted(folder.glob("metrics_*.json"))}
    environment = read_json(folder / "env.json", *ENVIRONMENT)
    changed, left_out = [], {}
    for path, result in results.items():
        split = path.stem.removeprefix("metrics_")
        if not workdir.of_one_evaluation(folder, split):
            raise UserError(
                f"{path}: is of another evaluation than predictions_{split}.csv; evaluate again"
            )
        # Only when there is a table to draw cases of: the curves need no network
        trained = trained or load_trained(folder, places=places, spread=True)
        if result.get("data_digest") not in (None, trained.experiment.data.digest):
            changed.append(split)  # its cases are no longer those of the table
            continue
        names, columns = read_table(folder / f"predictions_{split}.csv")
        made, state = trained.experiment, trained.state
        left_out[path] = _left_out(made.task.metrics, columns, names)
        figures = made.task.figures(made, state, split, columns, names, trained.devices)
        pictures |= {f"{name}_{split}": figure for name, figure in figures.items()}
    if jax.process_index() == 0:
        with _naming(folder / "env.json"):
            lines = _head(config, environment)
        for path, result in results.items():
            with _naming(path):
                moved_on = result["split"] in changed
                lines += [*_table(result, config.paper), *left_out.get(path, [])]
                lines += _notes(result, environment, moved_on)
        # The text first: a damaged file leaves the report as it was, pictures and all.
        for name, figure in pictures.items():
            files.write_figure(folder / "figures" / f"{name}.png", figure)
            lines += [f"![{name}](figures/{name}.png)", ""]
        files.write_text(folder / "report.md", "\n".join(lines))
    return folder / "report.md"


def _read_result(path: pathlib.Path) -> dict:
    """What a metrics_<split>.json says; older ones call the baseline `trivial`."""
    result = read_json(path, *RESULT)
    if "baseline" not in result and "trivial" not in result:
        raise UserError(f"{path}: cannot read it: it has no 'baseline'; train or evaluate again")
    return {"baseline": result.get("trivial"), **result}


@contextlib.contextmanager
def _naming(path: pathlib.Path) -> Iterator[None]:
    """UserError naming a file of JSON whose values are not of the kinds that they should be."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        line = f"{path}: cannot read it: {error}; train or evaluate again"
        raise UserError(line) from error


def _head(config: ConfigDict, environment: dict) -> list[str]:
    """What was trained, how, and with what."""
    terms = ", ".join(f"{_weight(t.weight)} x {t.name}" for t in config.loss.values())
    libraries = environment["libraries"]
    return [
        f"# {config.task}: {config.data.name}, {config.model.name}",
        "",
        f"- loss: {terms}",
        *([f"- begun with `{config.model_init}`"] if config.model_init else []),
        f"- {config.optimizer.name}, learning rate {config.optimizer.learning_rate:g} "
        f"({config.schedule.name}), batch {config.data.batch_size}, "
        f"{config.data.image_size} pixels",
        f"- {environment['parameters']:,} parameters, {environment['total_steps']} steps at most, "
        f"seed {config.seed}",
        f"- {len(environment['devices'])} x {environment['device_kind']}, jax {libraries['jax']}, "
        f"flax {libraries['flax']}, commit {environment['commit']}",
        "",
    ]


def _left_out(metrics: Sequence[Metric], columns: Columns, names: Sequence[str]) -> list[str]:
    """How many cases a mean leaves out, where there are any."""
    lines = []
    for metric in metrics:
        if metric.statistic is not mean or not metric.given(columns):
            continue
        finite = np.isfinite([columns[name] for name in metric.columns]).all(axis=0)
        counted = metric.counted(names)
        if lacking := np.count_nonzero(counted & ~finite):
            lines.append(
                f"- {metric.name}: {lacking} of {np.count_nonzero(counted)} cases have no finite "
                "value and are left out"
            )
    return [*lines, ""] if lines else []


def _notes(result: dict, environment: dict, moved_on: bool) -> list[str]:
    """Remarks on the data of a table."""
    lines = []
    if result.get("data_changed"):
        trained = environment["data"]["digest"]
        lines += [f"**{changed_data(result['data_digest'], trained)}.**", ""]
    return lines + ([MOVED_ON, ""] if moved_on else [])


def _weight(weight) -> str:
    """A number, or the name of a schedule."""
    return str(weight.name) if isinstance(weight, ConfigDict) else f"{weight:g}"


def _table(result: dict, paper) -> list[str]:
    """Metrics of one split: this run, the baseline, and the paper's own figure."""
    baseline = result["baseline"] or {}
    lines = [
        f"## {result['split']}: {result['count']:.0f} images, checkpoint of step {result['step']}",
        "",
        "| metric | this run | baseline | the paper's own figure, on its own data |",
        "|---|---|---|---|",
    ]
    for name, value in result["metrics"].items():
        cells = [f"{value:.4g}"]
        own = baseline.get(name), paper.get(name, paper.get(name.replace("/", "_", 1)))
        cells += ["" if figure is None else _figure(figure) for figure in own]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


def _figure(value: float | tuple) -> str:
    """A number, or a mean and its standard deviation."""
    return " ± ".join(f"{part:.4g}" for part in (value if isinstance(value, tuple) else (value,)))
