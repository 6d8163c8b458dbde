"""Predictions for a user's images or volumes: a table, and pictures of each."""

import contextlib
import csv
import os
import pathlib
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from segjax import files
from segjax.data import outputs
from segjax.errors import UserError
from segjax.inference import earlier, unfinished
from segjax.inference.open import load_trained, open_parts
from segjax.tasks.base import Predictor, explained
from segjax.train import workdir

TABLE = "predictions.csv"
# Beside images and volumes nobody takes these for some; nor those that systems leave
TEXTS = (".csv", ".tsv", ".xls", ".xlsx", ".txt", ".md", ".json", ".xml", ".yaml", ".yml", ".log")
TEXTS += (".ini", ".db")


@dataclass(frozen=True)
class Predicted:
    """What a prediction has come to.

    Attributes:
        count: of cases.
        written: the files and folders of the output.
        step: of the checkpoint.
        columns: of the table, each with what it is, as far as the task says so.
        remark: on files that earlier predictions left in the output; None without any.
        said: what the predictor has to say of cases.
    """

    count: int
    written: list[str]
    step: int
    columns: dict[str, str]
    remark: str | None
    said: list[str] = field(default_factory=list)


def predict(
    folder: pathlib.Path,
    inputs: Sequence[str],
    output: pathlib.Path,
    kind: str,
    places: Mapping[str, str] | None = None,
    truth: pathlib.Path | None = None,
) -> Predicted:
    """Predicts every case with a trained folder; writes predictions.csv and pictures.

    Args:
        folder: a trained work folder.
        inputs: files and folders.
        output: the folder to write to.
        kind: 'best' or 'latest' checkpoint.
        places: a `data_dir` or `cache_dir` in place of the saved ones.
        truth: a folder of masks, for a task whose predictions are compared with them.
    """
    parts = open_parts(folder, places, needs_data=False)
    predictor = parts.task.predictor()
    if hasattr(predictor, "known_cases"):  # whose names tell what a number at their end is
        predictor.known_cases = _evaluated(folder)

    def load() -> int:
        trained = load_trained(folder, kind, parts=parts, spread=predictor.spread)
        predictor.load(trained.experiment, trained.state, trained.devices)
        return int(trained.state.step)

    return predict_with(predictor, inputs, output, load, explained(parts.task), truth)


def predict_with(
    predictor: Predictor,
    inputs: Sequence[str],
    output: pathlib.Path,
    load: Callable[[], int],
    known: Mapping[str, str],
    truth: pathlib.Path | None = None,
) -> Predicted:
    """Predicts every case with a predictor; writes predictions.csv and pictures.

    Every case is read before the first is written, so that a bad file costs nothing.

    Args:
        predictor: of the cases. Where it has an `identity` when it is loaded, of all that results
            come from but the case, a prediction that was broken off goes on with the next case. It
            may have `sources`, all files that the results of a case come from, and `said`, lines on
            the cases that it predicted.
        inputs: files and folders.
        output: the folder to write to.
        load: gives the predictor its network, when all cases have been checked; the step of its
            checkpoint.
        known: what columns of the table are.
        truth: a folder of masks.
    """
    _give_truth(predictor, truth)
    found = find_files(inputs, predictor.suffixes, predictor.kind)
    cases = predictor.cases(found)
    written = [
        (name, paths[0]) for case, paths in cases.items() for name in predictor.outputs(case)
    ]
    if hasattr(predictor, "identity"):
        unfinished.check(output)
    beside = [*inputs, *([] if truth is None else [str(truth)])]
    check_outputs(output, beside, found, written, predictor.columns)
    quiet, several = not sys.stderr.isatty(), f"{predictor.kind}s"
    for paths in tqdm(cases.values(), desc=f"checking {several}", disable=quiet):
        predictor.check(paths)
    for line in passed_over(inputs, predictor.suffixes, predictor.kind):
        print(f"segjax: {line}", file=sys.stderr)
    if truth is not None:
        _check_masks(predictor, cases, truth)
    step = load()
    before = earlier.files_of(output)
    progress = unfinished.Progress(output, getattr(predictor, "identity", None))
    sources, said = getattr(predictor, "sources", lambda paths: paths), []
    rows = []
    for name, paths in tqdm(cases.items(), desc="predicting", disable=quiet):
        made = predictor.outputs(name)
        done = progress.row(name, sources(paths), [output / place for place in made])
        if done is None:
            row = _row(predictor, name, predictor.predict(name, paths, output))
            done = unfinished.Done(row, getattr(predictor, "said", {}).get(name, []))
            progress.keep(name, sources(paths), row, done.said)
        else:  # what is not written now is of this prediction, too
            before = {place: state for place, state in before.items() if place not in made}
        rows.append(done.row)
        said += done.said
    files.write_table(output / TABLE, predictor.columns, list(cases), np.array(rows))
    progress.end()
    # Only what is there is named: a task need not write all that it may write
    made = sorted({pathlib.Path(name).parts[0] for name, _ in written})
    there = [TABLE, *(name for name in made if (output / name).exists())]
    return Predicted(
        len(cases),
        there,
        step,
        {name: known[name] for name in predictor.columns if name in known},
        earlier.remark(output, before),
        said,
    )


def _give_truth(predictor: Predictor, truth: pathlib.Path | None) -> None:
    if truth is None:
        return
    if not hasattr(predictor, "truth"):
        raise UserError("--truth: predictions of this task are not compared with masks")
    if not truth.is_dir():
        raise UserError(f"--truth {truth}: no such folder")
    predictor.truth = truth


def _check_masks(
    predictor: Predictor, cases: Mapping[str, Sequence[pathlib.Path]], truth: pathlib.Path
) -> None:
    """Says which cases have no mask in the folder of masks; UserError where none has one."""
    without = [name for name, paths in cases.items() if predictor.mask_of(paths) is None]
    if without and len(without) == len(cases):
        raise UserError(
            f"--truth {truth}: has no mask of these {predictor.kind}s, NAME.* or NAME_*.* for "
            f"{without[0]}"
        )
    if without:
        some = ", ".join(without[:3]) + ", …" * (len(without) > 3)
        print(
            f"segjax: --truth {truth}: has no mask of {len(without)} of {len(cases)} "
            f"{predictor.kind}s ({some}); what is found on them is green",
            file=sys.stderr,
        )


def _row(predictor: Predictor, name: str, given: object) -> np.ndarray:
    """A row of the table; UserError for what is none."""
    try:
        row = np.asarray(given)
    except ValueError:  # of rows of several lengths
        row = np.asarray("")
    if row.shape != (len(predictor.columns),) or row.dtype.kind not in "biuf":
        raise UserError(
            f"{type(predictor).__name__}.predict gives {given!r} for {name}; it takes "
            f"a number for each of its columns, {', '.join(predictor.columns)}"
        )
    return row


def find_files(inputs: Sequence[str], suffixes: Sequence[str], kind: str) -> list[pathlib.Path]:
    """The files that paths name: files as they are, and of folders, one level deep, what fits.

    Hidden files of a folder, such as the `._` companions that macOS leaves, are passed over.

    Args:
        inputs: files and folders.
        suffixes: how the names of the files that are taken from a folder end, in lower case.
        kind: what they are, for messages.

    Raises: UserError for a path that is missing and for a folder without such files.
    """
    found: list[pathlib.Path] = []
    for text in inputs:
        path = pathlib.Path(text)
        if not _is_folder(path):
            found.append(path)
            continue
        shown = (p for p in sorted(path.iterdir()) if not p.name.startswith("."))
        fitting = (p for p in shown if p.name.lower().endswith(tuple(suffixes)))
        inside = [p for p in fitting if not _is_folder(p)]
        if not inside:
            raise UserError(f"--input {path}: no {kind} in this folder ({', '.join(suffixes)})")
        found += inside
    return found


def passed_over(inputs: Sequence[str], suffixes: Sequence[str], kind: str) -> Iterator[str]:
    """A line on each folder of which `find_files` leaves something out.

    Tables, texts and hidden files are not counted.
    """
    for folder in filter(os.path.isdir, inputs):
        others, below = [], 0
        for path in sorted(pathlib.Path(folder).rglob("*")):
            inside = path.relative_to(folder)
            if any(part.startswith(".") for part in inside.parts) or not path.is_file():
                continue
            fits = path.name.lower().endswith(tuple(suffixes))
            below += fits and len(inside.parts) > 1
            if not fits and len(inside.parts) == 1 and path.suffix.lower() not in TEXTS:
                others.append(path.name)
        said = []
        if others:
            some = ", ".join(others[:3]) + ", …" * (len(others) > 3)
            said.append(f"{len(others)} file{'s' * (len(others) > 1)} of other kinds ({some})")
        if below:
            said.append(f"{below} {kind}{'s' * (below > 1)} in folders below it")
        if said:
            yield f"--input {folder}: passes over {' and '.join(said)}"


def _evaluated(folder: pathlib.Path) -> list[str]:
    """The names of the cases that a run was evaluated on, as far as its tables are there."""
    found = []
    for path in sorted(folder.glob("predictions_*.csv")):
        with contextlib.suppress(OSError, ValueError, csv.Error):
            with path.open(newline="", encoding="utf-8") as file:
                found += [row[0] for row in csv.reader(file) if row][1:]
    return found


def _is_folder(path: pathlib.Path) -> bool:
    """Whether this is a folder; UserError for what is no file either, and for unreadable names."""
    try:
        # A name that is no UTF-8 has surrogates in it, which no table of text can hold
        path.name.encode()
        mode = path.stat().st_mode
    except UnicodeEncodeError as error:
        raise UserError(f"--input {ascii(str(path))}: its name is not UTF-8; rename it") from error
    except FileNotFoundError as error:
        link = f"{path} is a link to {path.readlink()}, which is gone" if path.is_symlink() else ""
        raise UserError(f"--input {path}: {link or 'no such file or folder'}") from error
    except OSError as error:
        raise UserError(f"--input {path}: {error.strerror}") from error
    # A pipe or a device would block, or never end, when it is read
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UserError(f"--input {path}: neither a file nor a folder")
    return stat.S_ISDIR(mode)


def check_outputs(
    output: pathlib.Path,
    inputs: Sequence[str],
    found: Sequence[pathlib.Path],
    written: Sequence[tuple[str, pathlib.Path]],
    columns: Sequence[str],
) -> None:
    """UserError unless predictions can be written without harm; nothing is written here.

    The output must not be, hold or lie in an input, no two inputs may share a file of it, and a
    file that is there already must be an earlier prediction.

    Args:
        output: the folder.
        inputs: files and folders as given.
        found: the files found there.
        written: the names of files below `output`, each with the input that it comes from.
        columns: of the table.
    """
    workdir.check_writable(output, "--output")
    if kind := workdir.kind_of(output):
        raise UserError(f"--output {output}: is {kind}; take another folder")
    for folder in output.absolute().parents:
        kind = workdir.kind_of(folder)
        if kind and output.absolute().relative_to(folder).parts[0] in workdir.OWN:
            raise UserError(f"--output {output}: lies inside {kind}; take another folder")
    for name, path in written:
        # By its letters alone: a folder inside may be a link, which is looked at below
        if os.path.isabs(name) or os.pardir in pathlib.PurePath(os.path.normpath(name)).parts:
            raise UserError(f"--input {path}: its output {name} would lie outside of {output}")
    outputs.check_names(written)
    folders = sorted({str(pathlib.Path(name).parent) for name, _ in written})
    outputs.check_apart(output, folders, [*map(pathlib.Path, inputs), *found])
    places = [output / name for name in (TABLE, *(name for name, _ in written))]
    outputs.check_replaceable(places, columns=columns)
