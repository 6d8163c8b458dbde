"""The report of one run: learning curves, case pictures, and report.md."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import jax
from ml_collections import ConfigDict

from segjax import files
from segjax.data.dataset import Dataset
from segjax.errors import UserError
from segjax.inference.evaluate import changed_data
from segjax.inference.open import Trained, load_trained
from segjax.report import curves, pictures, run_text
from segjax.report.pictures import Picture
from segjax.report.run_text import Split
from segjax.report.tables import patients_of, read_json, read_numbers, read_table
from segjax.tasks.base import Task, explained, question, remarks
from segjax.tasks.metric import Metric
from segjax.train import workdir
from segjax.train.logs import read_rows

NONE = "No pictures of cases"
LEFT = "Pictures of cases are those of an earlier report, and were not drawn again"
MOVED_ON = f"{NONE}: the prepared set has changed since this table; evaluate again."
# What the report shows of metrics_<split>.json and of env.json.
RESULT = ("split", "step", "count", "metrics")
ENVIRONMENT = ("libraries", "devices", "device_kind", "commit", "parameters", "total_steps")


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
    environment = read_json(folder / "env.json", *ENVIRONMENT)
    # Only when there is a table to draw cases of: the curves need no network
    if results:
        trained = trained or load_trained(folder, places=places, spread=True)
    drawn = curves.curves_figure(
        rows, best, *(_curves_of(trained.experiment.task) if trained else ())
    )
    shown = {"learning_curves": Picture(drawn.get_label(), drawn)}
    splits: dict[pathlib.Path, Split] = {}
    validations = len({row["step"] for row in rows if row["split"] == "validation"})
    for path, result in results.items():
        bare = run_text.split_of(result, trained.experiment.task, validations, str(folder))
        splits[path], more = _with_cases(bare, path, [*results], trained, environment)
        shown |= more
    if jax.process_index() == 0:
        ended = ended or workdir.read_done(folder) is not None
        done = None if ended else max(row["step"] for row in rows)
        asked = question(trained.experiment.task) if trained else ""
        lines = _head(folder, config, environment, done, asked)
        if ended and not results:
            lines += [f"**No table: `segjax evaluate --workdir {folder}` makes it.**", ""]
        for path, split in splits.items():
            with _naming(path):
                lines += run_text.section(split, config)
                lines += _notes(split.result, environment, moved_on=split.columns is None)
        lines += run_text.explanation(list(splits.values()), config, curves.panels(rows))
        # The text first: a damaged file leaves the report as it was, pictures and all.
        lines += pictures.lines(shown)
        pictures.write(folder, shown)
        files.write_text(folder / pictures.REPORT, "\n".join(lines))
    return folder / pictures.REPORT


def _with_cases(
    split: Split,
    path: pathlib.Path,
    paths: Sequence[pathlib.Path],
    trained: Trained,
    environment: Mapping,
) -> tuple[Split, dict[str, Picture]]:
    """A split with the table of its cases, and their pictures: none where the data have changed.

    `path` is its metrics_<split>.json, `paths` are those of all splits.
    """
    made, name = trained.experiment, _split_of(path)
    closed = made.data.obstacle()
    if not closed and split.result.get("data_digest") not in (None, made.data.digest):
        return split, {}  # its cases are no longer those of the table
    names, columns = read_table(path.with_name(f"predictions_{name}.csv"))
    if closed:
        shown = pictures.left(path.parent, name, map(_split_of, paths))
        said = [f"{LEFT if shown else NONE}: {closed}"]
    else:
        figures = made.task.figures(made, trained.state, name, columns, names, trained.devices)
        shown, said = pictures.drawn(figures, name), []
    return dataclasses.replace(
        split,
        names=names,
        columns=columns,
        patients=patients_of(split.result, names),
        remarks=remarks(made.task, columns) + said,
        has_test=_has_test(path.parent, environment, made.data),
        tested="test" in map(_split_of, paths),
    ), shown


def _has_test(folder: pathlib.Path, environment: Mapping, data: Dataset) -> bool:
    """Whether the set has cases apart; of one that is not there, the run remembers."""
    with _naming(folder / "env.json"):
        known = "test" in environment.get("data", {}).get("cases", {})
    return "test" in data.splits and (known or data.has("test"))


def _split_of(path: pathlib.Path) -> str:
    """The split of a metrics_<split>.json."""
    return path.stem.removeprefix("metrics_")


def _curves_of(task: Task) -> tuple[Sequence[Metric], str]:
    """What the figure of the curves takes of a task."""
    return task.metrics, explained(task).get("validation", "")


def _head(
    folder: pathlib.Path, config: ConfigDict, environment: Mapping, done: int | None, asked: str
) -> list[str]:
    """The head of a report; UserError naming the file that has something of a wrong kind."""
    # Beside an environment that is whole, what is wrong is the config
    for name, given in (("config", run_text.ANY_ENVIRONMENT), ("env", environment)):
        with _naming(folder / f"{name}.json"):
            lines = run_text.head(config, given, done, asked)
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
    with _naming(path):
        baseline = result.get("baseline", result.get("trivial"))
        return result | {
            "metrics": read_numbers(result["metrics"]),
            "baseline": None if baseline is None else read_numbers(baseline),
        }


def _check_table(path: pathlib.Path) -> None:
    """UserError unless a metrics_<split>.json has its own predictions_<split>.csv beside it."""
    split = _split_of(path)
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


def _notes(result: dict, environment: dict, moved_on: bool) -> list[str]:
    """Remarks on the data of a table."""
    lines = []
    if result.get("data_changed"):
        trained = environment["data"]["digest"]
        lines += [f"**{changed_data(result['data_digest'], trained)}.**", ""]
    return lines + ([MOVED_ON, ""] if moved_on else [])
