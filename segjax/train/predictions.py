"""Predictions as files: the table of a split, and tables and overlays for a person's own images."""

import os
import pathlib
import stat
import sys
from collections.abc import Mapping, Sequence

import jax
import numpy as np
from tqdm import tqdm

from segjax import files
from segjax.data import outputs
from segjax.data.images import read_image
from segjax.errors import UserError
from segjax.train import checkpoint, preflight, workdir
from segjax.train.restore import load_trained

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
TABLE = "predictions.csv"
PICTURES = ("overlays", "labels")  # folders of the pictures that tasks write, NAME.png in each


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


def _is_folder(path: pathlib.Path) -> bool:
    """Whether this is a folder; UserError for what is no file either, and for unreadable names."""
    try:
        path.name.encode()
        mode = path.stat().st_mode
    except UnicodeEncodeError as error:
        raise UserError(f"--input {ascii(str(path))}: its name is not UTF-8; rename it") from error
    except FileNotFoundError as error:
        link = f"{path} is a link to {path.readlink()}, which is gone" if path.is_symlink() else ""
        raise UserError(f"--input {path}: {link or 'no such file or folder'}") from error
    except OSError as error:
        raise UserError(f"--input {path}: {error.strerror}") from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UserError(f"--input {path}: neither a file nor a folder")
    return stat.S_ISDIR(mode)


def check_outputs(
    output: pathlib.Path,
    inputs: Sequence[str],
    found: Sequence[pathlib.Path],
    written: Sequence[tuple[str, pathlib.Path]],
) -> None:
    """UserError unless predictions can be written without harm; nothing is written here.

    The output must not be, hold or lie in an input, no two inputs may share a file of it, and a
    file that is there already must be an earlier prediction.

    Args:
        output: the folder.
        inputs: files and folders as given.
        found: the files found there.
        written: the names of files below `output`, each with the input that it comes from.
    """
    workdir.check_writable(output, "--output")
    outputs.check_names(written)
    folders = sorted({str(pathlib.Path(name).parent) for name, _ in written})
    outputs.check_apart(output, folders, [*map(pathlib.Path, inputs), *found])
    outputs.check_replaceable([output / name for name in (TABLE, *(name for name, _ in written))])


def unique_names(paths: Sequence[pathlib.Path]) -> list[str]:
    """A name for each file: its own, with folders in front where two files share one."""
    names = [path.name for path in paths]
    if len(set(names)) == len(names):
        return names
    folders = [path.parent.resolve() for path in paths]
    root = pathlib.Path(os.path.commonpath(folders))
    pairs = zip(folders, names, strict=True)
    return ["__".join((folder / name).relative_to(root).parts) for folder, name in pairs]


def predict(
    folder: pathlib.Path,
    inputs: Sequence[str],
    output: pathlib.Path,
    kind: str,
    places: Mapping[str, str] | None = None,
) -> int:
    """Predicts every image or volume; writes predictions.csv and pictures; how many there were.

    Every image is read before the first is written, so that a bad file costs nothing.
    """
    config = workdir.open_existing(folder, places)
    checkpoint.require(folder, "latest")
    task = preflight.make_task(config)
    if task.on_volumes:
        from segjax.train import volume_predictions

        return volume_predictions.predict(folder, inputs, output, kind, task, places)
    paths = find_files(inputs, SUFFIXES, "image")
    names = unique_names(paths)
    written = [
        (f"{place}/{name}.png", path)
        for name, path in zip(names, paths, strict=True)
        for place in PICTURES
    ]
    check_outputs(output, inputs, paths, written)
    quiet = not sys.stderr.isatty()
    for path in tqdm(paths, desc="checking images", disable=quiet):
        read_image(path)
    trained = load_trained(folder, kind, places=places)
    plan = trained.plan
    model = preflight.make_model(plan.config)
    variables = jax.device_get(trained.state.variables)

    @jax.jit
    def apply(image):
        return plan.task.predict(
            model.apply(variables, plan.task.inputs({"image": image}), train=False)
        )

    rows = []
    for path, name in tqdm(list(zip(paths, names, strict=True)), desc="predicting", disable=quiet):
        image = read_image(path)
        fields = plan.task.unlabelled(image, plan.config.data.image_size)
        predicted = jax.device_get(apply(fields["image"]))
        row = plan.task.rows(predicted, fields, labelled=False)
        single = {key: array[0] for key, array in predicted.items()}
        plan.task.write_pictures(output, name, image, row[0], single)
        rows.append(row)
    files.write_table(output / TABLE, plan.task.columns(), names, np.concatenate(rows))
    return len(paths)
