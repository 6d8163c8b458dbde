"""Predictions for a user's photographs, at the size at which they are stored."""

import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tqdm import tqdm

from segjax.data import names as naming
from segjax.data.images import check_one_page, read_image
from segjax.data.outputs import check_names
from segjax.tasks.base import Devices, Experiment
from segjax.tasks.images.prediction import picture_names, unique_names
from segjax.tasks.lesions import outputs
from segjax.tasks.lesions.network import PhotographNetwork, enlarged

THRESHOLD = 0.5


class LesionPredictor:
    """Predicts photographs one by one (`base.Predictor`).

    Attributes:
        truth: a folder of masks, where there is one: overlays show what is right and wrong then.
    """

    kind = "image"
    spread = False
    suffixes = naming.PICTURES
    columns = outputs.COLUMNS
    truth: pathlib.Path | None = None

    def __init__(self, task: Any):
        self._task = task
        self._pictures: dict[str, str] = {}
        self._files: Sequence[pathlib.Path] = ()

    def cases(self, files: Sequence[pathlib.Path]) -> Mapping[str, Sequence[pathlib.Path]]:
        """Every file is a case, named after it, with folders in front where two share a name."""
        self._files = files
        pairs = list(zip(unique_names(files), files, strict=True))
        self._pictures = picture_names([name for name, _ in pairs])
        check_names((output, path) for name, path in pairs for output in self.outputs(name))
        return {name: (path,) for name, path in pairs}

    def outputs(self, name: str) -> Sequence[str]:
        """The map, the mask, the overlay, and the table of lesions."""
        return outputs.outputs(self._pictures[name])

    def check(self, files: Sequence[pathlib.Path]) -> None:
        """Reads the photograph and its mask; it is at least as large as a patch."""
        check_one_page(files[0])
        image = read_image(files[0])
        self.check_size(files[0], image.shape[:2])
        outputs.read_truth(self.mask_of(files), image.shape)

    def mask_of(self, files: Sequence[pathlib.Path]) -> pathlib.Path | None:
        """The mask of a photograph in the folder of masks; None where there is none."""
        return outputs.find_truth(self.truth, files, self._files)

    def check_size(self, path: pathlib.Path, size: tuple[int, int]) -> None:
        """UserError for a photograph that is smaller than a patch."""
        self._task.check_size(path, self._task.recipe.size(size))

    def load(self, experiment: Experiment, state: Any, devices: Devices) -> None:
        """Takes the trained network."""
        self._network = PhotographNetwork(experiment, devices)
        self._network.place(state)

    def predict(
        self, name: str, files: Sequence[pathlib.Path], output: pathlib.Path
    ) -> Sequence[float]:
        """Writes the pictures and the table of lesions."""
        image = read_image(files[0])
        prepared = self._task.recipe.apply(image)
        bar = {"total": self._network.tiles(prepared.shape[:2]), "desc": f"{name}: tiles"}
        with tqdm(**bar, leave=False, disable=not sys.stderr.isatty()) as progress:
            probability = self._network.probabilities(prepared, progress.update)
        probability = enlarged(probability, image.shape[:2])
        true = outputs.read_truth(self.mask_of(files), image.shape)
        place = output, self._pictures[name]
        return outputs.write(*place, image, probability, THRESHOLD, true)
