"""Predictions for a person's own volumes: NIfTI labels with the original affine, and pictures."""

import pathlib
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from segjax.data.volumes import nifti, preprocess
from segjax.errors import UserError
from segjax.train.predictions import TABLE, check_outputs, find_files
from segjax.train.restore import load_trained
from segjax.train.volumes import VolumeEvaluator, recipe_of

SUFFIXES = (".nii", ".nii.gz")
CHANNEL = re.compile(r"(.+)_(\d{4})")


def find_cases(inputs: Sequence[str], channels: int) -> dict[str, list[pathlib.Path]]:
    """The files of each case by its name, in the order of channels.

    One channel: every file is a case. Several: files of a case share a name and end in _0000,
    _0001, …, as nnU-Net has them.

    Raises: UserError for a path that is missing, a folder without volumes, a file that is none, two
        files for one channel of a case, and a channel that is lacking or none of the model's.
    """
    found: dict[str, dict[int, pathlib.Path]] = {}
    for path in find_files(inputs, SUFFIXES, "volume"):
        if not path.name.lower().endswith(SUFFIXES):
            raise UserError(f"--input {path}: takes volumes ({', '.join(SUFFIXES)})")
        name, channel = _case_and_channel(path, channels)
        case = found.setdefault(name, {})
        if channel in case:
            which = "" if channels == 1 else f"channel _{channel:04} of "
            raise UserError(f"--input {path}: {which}case {name} is {case[channel]} already")
        case[channel] = path
    for name, case in found.items():
        if lacking := sorted(set(range(channels)) - set(case)):
            raise UserError(
                f"--input {min(case.values())}: case {name} lacks the channel _{lacking[0]:04}; "
                f"the model takes {channels}, _0000 to _{channels - 1:04}"
            )
    return {name: [case[channel] for channel in range(channels)] for name, case in found.items()}


def _case_and_channel(path: pathlib.Path, channels: int) -> tuple[str, int]:
    """The name of the case that a file belongs to, and its channel."""
    name = re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE)
    if channels == 1:
        return name, 0
    match = CHANNEL.fullmatch(name)
    if not match or int(match[2]) >= channels:
        raise UserError(
            f"--input {path}: the model takes {channels} files a case, ending in _0000.nii.gz to "
            f"_{channels - 1:04}.nii.gz"
        )
    return match[1], int(match[2])


def read_case(files: Sequence[pathlib.Path]) -> tuple[np.ndarray, nifti.Volume]:
    """Image [d, h, w, c] of a case, and its first channel's volume.

    Raises: UserError for a bad file, and for a channel that is on another grid than the first, by
        the rule of preparation (`nifti.check_pair`).
    """
    volumes = [nifti.read_volume(path) for path in files]
    for path, volume in zip(files[1:], volumes[1:], strict=True):
        nifti.check_pair(files[0], volumes[0], path, volume)
    return np.stack([volume.array for volume in volumes], axis=-1), volumes[0]


def _check_axes(path: pathlib.Path, volume: nifti.Volume, task: Any) -> None:
    """UserError where a model that cuts along a fixed axis would not cut this volume into slices.

    The spacing tells, where it does. Of CT, whose slices are axial, the affine does.
    """
    axis = task.slice_axis
    if axis is None:
        return
    nifti.check_slices(path, volume, axis)
    if "CT" in task.normalization and (found := nifti.slices_by_affine(volume)) != axis:
        raise UserError(
            f"{path}: its axial slices lie along {'zyx'[found]} by its affine, the model takes "
            f"them along {'zyx'[axis]}; reorder its axes"
        )


def predict(
    folder: pathlib.Path,
    inputs: Sequence[str],
    output: pathlib.Path,
    kind: str,
    task: Any,
    places: Mapping[str, str] | None = None,
) -> int:
    """Writes CASE.nii.gz, overlays/CASE.png and predictions.csv; the number of cases.

    Every file is read before the first is written, so that a bad one costs nothing.

    Args:
        folder, inputs, output, kind, places: as `predictions.predict` takes them.
        task: that of the folder.
    """
    from segjax.tasks import volume_pictures as pictures

    found = find_cases(inputs, task.channels)
    written = [(f"{name}.nii.gz", files[0]) for name, files in found.items()]
    written += [(f"overlays/{name}.png", files[0]) for name, files in found.items()]
    check_outputs(output, inputs, [path for files in found.values() for path in files], written)
    quiet = not sys.stderr.isatty()
    for files in tqdm(found.values(), desc="checking volumes", disable=quiet):
        _check_axes(files[0], read_case(files)[1], task)
    trained = load_trained(folder, kind, places=places)
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
        files.write_figure(output / "overlays" / f"{name}.png", figure)
        millilitres = float(np.prod(volume.spacing)) / 1000
        classes = range(1, task.num_classes)
        rows.append([float(np.count_nonzero(labels == k)) * millilitres for k in classes])
    columns = [f"volume_{name}" for name in task.classes]
    files.write_table(output / TABLE, columns, list(found), np.array(rows))
    return len(found)
