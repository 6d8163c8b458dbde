"""Predictions of a pipeline for a user's photographs."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from segjax.data.images import read_image
from segjax.inference.open import Trained
from segjax.pipelines.definition import Definition
from segjax.pipelines.networks import Networks
from segjax.tasks.lesions import outputs
from segjax.tasks.lesions.prediction import THRESHOLD, LesionPredictor


class PipelinePredictor(LesionPredictor):
    """Writes the map of the row that a pipeline names.

    Attributes:
        identity: of what makes the pictures; a prediction of the same one goes on where it ended.
        said: of each photograph, what the bound on patches has left out.
    """

    identity = ""

    def __init__(self, definition: Definition, tasks: Mapping[str, Any]):
        super().__init__(None)
        self._definition, self._row = definition, definition.row(definition.predicted)
        self._tasks = tasks
        self.said: dict[str, list[str]] = {}

    def check_size(self, path: pathlib.Path, size: tuple[int, int]) -> None:
        """UserError for a photograph that is too small for a stage."""
        for task in self._tasks.values():
            task.check_size(path, task.recipe.size(size))

    def sources(self, files: Sequence[pathlib.Path]) -> list[pathlib.Path]:
        """All that the pictures of a photograph are made of: itself, and its mask."""
        truth = self.mask_of(files)
        return [*files, *([truth] if truth else [])]

    def take(self, trained: Mapping[str, Trained], threshold: float | None, networks: str) -> None:
        """Takes the stages, the threshold that was chosen, and what the map comes from."""
        self._networks = Networks(self._definition, trained, [self._row])
        self._threshold = THRESHOLD if threshold is None else threshold
        masks = "" if self.truth is None else " masks"
        # With the columns: another version may have others
        self.identity = f"{networks} {self._threshold}{masks} {' '.join(outputs.COLUMNS)}"

    def predict(
        self, name: str, files: Sequence[pathlib.Path], output: pathlib.Path
    ) -> Sequence[float]:
        """Writes the pictures and the table of lesions."""
        image = read_image(files[0])
        maps = self._networks.maps(self._networks.prepared(image), image.shape[:2], f"{name}: ")
        lines = {s: cost.capped(self._definition.most_patches) for s, cost in maps.costs.items()}
        self.said[name] = [f"{name}: {stage}: {line}" for stage, line in lines.items() if line]
        probability = maps.row(self._definition, self._row.name)
        true = outputs.read_truth(self.mask_of(files), image.shape)
        place = output, self._pictures[name]
        return outputs.write(*place, image, probability, self._threshold, true)
