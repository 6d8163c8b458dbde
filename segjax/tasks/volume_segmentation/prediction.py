"""Predictions for a user's volumes: NIfTI labels with the original affine, and pictures."""

import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segjax import files as writing
from segjax.data import names as naming
from segjax.data.volumes import nifti, preprocess
from segjax.errors import UserError
from segjax.tasks.base import Devices, Experiment
from segjax.tasks.volume_segmentation.data import recipe_of
from segjax.tasks.volume_segmentation.evaluation import VolumeNetwork

CHANNEL = re.compile(r"(.+)_(\d{4})")
WHOLE = -1  # in place of a channel: a file with all of them


class VolumePredictor:
    """Predicts volumes (`base.Predictor`): CASE.nii.gz and overlays/CASE.png of each.

    Attributes:
        known_cases: names of the cases that the run was evaluated on, where they are known.
    """

    kind = "volume"
    spread = True
    suffixes = naming.NIFTI

    def __init__(self, task: Any):
        self._task = task
        self.known_cases: Sequence[str] = ()
        self.columns = tuple(f"volume_{name}" for name in task.classes)

    def cases(self, files: Sequence[pathlib.Path]) -> Mapping[str, Sequence[pathlib.Path]]:
        """The files of each case by its name, in the order of channels.

        Files of a case share a name and end in _0000, _0001, …, as nnU-Net has them; or a case is
        one file, with all channels along its fourth axis where there are several. One channel:
        every file is a case, called without its _0000; but where the run was evaluated on cases
        whose own names end in four digits, further numbers are no channels, and all keep theirs.

        Raises: UserError for a file that is no volume, two files for one channel of a case, a
            channel that is lacking or none of the model's, and another number of channels.
        """
        channels = self._task.channels
        found: dict[str, dict[int, pathlib.Path]] = {}
        for path in files:
            if not path.name.lower().endswith(self.suffixes):
                raise UserError(f"--input {path}: takes volumes ({', '.join(self.suffixes)})")
            if not _name(path):
                raise UserError(f"--input {path}: has no name but its ending")
        series = _series(files)
        if channels == 1 and not any(map(CHANNEL.fullmatch, self.known_cases)):
            _check_no_channels(files)
        for path in files:
            if channels == 1:
                name, channel = _only_channel(path, series), 0
            else:
                name, channel = _case_and_channel(path, channels)
            case = found.setdefault(name, {})
            if case and (channel in case or WHOLE in (channel, *case)):
                part = channels > 1 and channel in case and channel != WHOLE
                which = f"channel _{channel:04} of " if part else ""
                other = case.get(channel, min(case.values()))
                raise UserError(f"--input {path}: {which}case {name} is {other} already")
            case[channel] = path
        for name, case in found.items():
            lacking = [] if WHOLE in case else sorted(set(range(channels)) - set(case))
            if lacking:
                raise UserError(
                    f"--input {min(case.values())}: case {name} lacks the channel "
                    f"_{lacking[0]:04}; the model takes {channels}, _0000 to _{channels - 1:04}"
                )
        return {name: [case[key] for key in sorted(case)] for name, case in found.items()}

    def outputs(self, name: str) -> Sequence[str]:
        """The label volume and the picture."""
        return [f"{name}.nii.gz", f"overlays/{name}.png"]

    def check(self, files: Sequence[pathlib.Path]) -> None:
        """Reads the channels, and looks whether the model would cut them into slices."""
        _check_axes(files[0], self._read(files), self._task)

    def _read(self, files: Sequence[pathlib.Path]) -> nifti.Volume:
        """Image [d, h, w, c] of a case; UserError for what it cannot be read of."""
        return nifti.read_image(files, self._task.channels, "the model takes")

    def load(self, experiment: Experiment, state: Any, devices: Devices) -> None:
        """Compiles the network with its weights."""
        self._network = VolumeNetwork(experiment, devices)
        self._network.place(state)

    def predict(
        self, name: str, files: Sequence[pathlib.Path], output: pathlib.Path
    ) -> Sequence[float]:
        """Writes labels in the grid of the file, and slices of them; volumes in ml."""
        from segjax.tasks.volume_segmentation import pictures

        volume = self._read(files)
        image = volume.array
        # `geometry` leads the prediction back into the grid of the file
        prepared, geometry = preprocess.preprocess(image, volume.spacing, recipe_of(self._task))
        labels = self._network.labels(prepared, geometry)
        nifti.write_labels(output / f"{name}.nii.gz", labels, volume.affine, volume.spacing)
        # Slices lie along the axis of the coarsest spacing
        shown = np.moveaxis(image[..., 0], int(np.argmax(volume.spacing)), 0)
        drawn = np.moveaxis(labels, int(np.argmax(volume.spacing)), 0)
        figure = pictures.cases_figure([(name, shown, None, drawn)], self._task.classes)
        writing.write_figure(output / "overlays" / f"{name}.png", figure)
        millilitres = float(np.prod(volume.spacing)) / 1000
        classes = range(1, self._task.num_classes)
        return [float(np.count_nonzero(labels == k)) * millilitres for k in classes]


def _name(path: pathlib.Path) -> str:
    """That of a file without its ending; `stem` would leave the .nii of a .nii.gz."""
    return re.sub(r"\.nii(\.gz)?$", "", naming.composed(path.name), flags=re.IGNORECASE)


def _series(files: Sequence[pathlib.Path]) -> set[str]:
    """The names that files have with another number behind them than _0000."""
    matches = [CHANNEL.fullmatch(_name(path)) for path in files]
    return {match[1] for match in matches if match and int(match[2])}


def _check_no_channels(files: Sequence[pathlib.Path]) -> None:
    """UserError for what looks like several channels of a case: its _0000 beside other numbers."""
    numbers: dict[str, dict[int, pathlib.Path]] = {}
    for path in files:
        if match := CHANNEL.fullmatch(_name(path)):
            numbers.setdefault(match[1], {})[int(match[2])] = path
    for name, found in numbers.items():
        if 0 in found and len(found) > 1:
            raise UserError(
                f"--input {found[0]}: the model takes 1 channel, case {name} has {len(found)}, "
                f"_0000 to _{max(found):04}; give one of them, or rename what are cases of their "
                "own not to end in four digits"
            )


def _only_channel(path: pathlib.Path, series: set[str]) -> str:
    """The case of a file, for a model of one channel."""
    match = CHANNEL.fullmatch(name := _name(path))
    return match[1] if match and not int(match[2]) and match[1] not in series else name


def _case_and_channel(path: pathlib.Path, channels: int) -> tuple[str, int]:
    """The name of the case that a file belongs to, and its channel among several."""
    name = _name(path)
    # By its header, for the name of a case may end in four digits too
    if (held := nifti.count_channels(path)) > 1:
        if held != channels:
            raise UserError(f"--input {path}: holds {held} channels; the model takes {channels}")
        return name, WHOLE
    match = CHANNEL.fullmatch(name)
    if not match or int(match[2]) >= channels:
        raise UserError(
            f"--input {path}: the model takes {channels} files a case, ending in _0000.nii.gz to "
            f"_{channels - 1:04}.nii.gz, or one file with {channels} channels along a fourth axis"
        )
    return match[1], int(match[2])


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
