"""Predictions for a person's own volumes: NIfTI labels with the original affine, and pictures."""

import pathlib
import re
import sys
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from segjax.data.volumes import nifti, preprocess
from segjax.errors import UserError
from segjax.train.predictions import write_table
from segjax.train.report import save_figure
from segjax.train.restore import Trained
from segjax.train.volumes import VolumeEvaluator, recipe_of

SUFFIXES = (".nii", ".nii.gz")
CHANNEL = re.compile(r"(.+)_(\d{4})")


def find_cases(inputs: Sequence[str], channels: int) -> dict[str, list[pathlib.Path]]:
    """The files of each case by its name, in the order of channels.

    One channel: every file is a case. Several: files of a case share a name and end in _0000,
    _0001, …, as nnU-Net has them.

    Raises: UserError for a path that is missing, a folder without volumes, a name twice, or a case
        that lacks a channel.
    """
    paths: list[pathlib.Path] = []
    for text in inputs:
        path = pathlib.Path(text)
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.name.lower().endswith(SUFFIXES))
            if not inside:
                raise UserError(f"--input {path}: no volume in this folder ({', '.join(SUFFIXES)})")
            paths += inside
        elif not path.is_file():
            raise UserError(f"--input {path}: no such file or folder")
        elif not path.name.lower().endswith(SUFFIXES):
            raise UserError(f"--input {path}: takes volumes ({', '.join(SUFFIXES)})")
        else:
            paths.append(path)
    found: dict[str, list[pathlib.Path]] = {}
    for path in paths:
        name = re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE)
        if channels > 1:
            match = CHANNEL.fullmatch(name)
            if not match:
                raise UserError(
                    f"--input {path}: takes {channels} files a case, ending in _0000.nii.gz to "
                    f"_{channels - 1:04}.nii.gz"
                )
            name = match[1]
        found.setdefault(name, []).append(path)
    for name, files in found.items():
        if len(files) != channels:
            what = "two files of this name" if channels == 1 else f"{len(files)} channels"
            raise UserError(f"--input {files[0]}: case {name} has {what}, takes {channels}")
    return {name: sorted(files) for name, files in found.items()}


def read_case(files: Sequence[pathlib.Path]) -> tuple[np.ndarray, nifti.Volume]:
    """Image [d, h, w, c] of a case, and its first channel's volume; all channels must agree."""
    volumes = [nifti.read_volume(path) for path in files]
    for path, volume in zip(files[1:], volumes[1:], strict=True):
        if volume.array.shape != volumes[0].array.shape:
            raise UserError(
                f"{path}: has shape {volume.array.shape}, but {files[0].name} "
                f"{volumes[0].array.shape}"
            )
    return np.stack([volume.array for volume in volumes], axis=-1), volumes[0]


def predict(trained: Trained, inputs: Sequence[str], output: pathlib.Path) -> int:
    """Writes CASE.nii.gz, overlays/CASE.png and predictions.csv; the number of cases.

    Every file is read before the first is written, so that a bad one costs nothing.
    """
    from segjax.tasks import volume_pictures as pictures

    task = trained.plan.task
    found = find_cases(inputs, task.channels)
    quiet = not sys.stderr.isatty()
    for files in tqdm(found.values(), desc="checking volumes", disable=quiet):
        read_case(files)
    evaluator = VolumeEvaluator(trained.plan, ())
    variables, rows = evaluator.placed(trained.state), []
    for name, files in tqdm(found.items(), desc="predicting", disable=quiet):
        image, volume = read_case(files)
        prepared, geometry = preprocess.preprocess(image, volume.spacing, recipe_of(task))
        labels = evaluator.labels_of(prepared, geometry, variables)
        nifti.write_labels(output / f"{name}.nii.gz", labels, volume.affine, volume.spacing)
        shown = np.moveaxis(image[..., 0], int(np.argmax(volume.spacing)), 0)
        drawn = np.moveaxis(labels, int(np.argmax(volume.spacing)), 0)
        figure = pictures.cases_figure([(name, shown, None, drawn)])
        save_figure(figure, output / "overlays" / f"{name}.png")
        millilitres = float(np.prod(volume.spacing)) / 1000
        classes = range(1, task.num_classes)
        rows.append([float(np.count_nonzero(labels == k)) * millilitres for k in classes])
    columns = [f"volume_{name}" for name in task.classes]
    write_table(output / "predictions.csv", columns, list(found), np.array(rows))
    return len(found)
