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
    """Writes the map of one row, at the threshold that the validation split chose."""

    def __init__(
        self,
        definition: Definition,
        trained: Mapping[str, Trained],
        threshold: float | None,
        identity: str,
    ):
        super().__init__(None)
        self._definition = definition
        self._networks = Networks(definition, trained)
        self.threshold = THRESHOLD if threshold is None else threshold
        self.identity = identity
        self.said: list[str] = []

    def check_size(self, path: pathlib.Path, size: tuple[int, int]) -> None:
        """UserError for a photograph that is too small for a stage."""
        self._networks.check_size(path, size)

    def load(self, experiment: Any, state: Any, devices: Any) -> None:
        """Nothing: the stages are open already."""

    def predict(
        self, name: str, files: Sequence[pathlib.Path], output: pathlib.Path
    ) -> Sequence[float]:
        """Writes the pictures and the table of lesions."""
        image = read_image(files[0])
        row = self._definition.row(self._definition.predicted)
        maps = self._networks.maps(
            self._networks.prepared(image), image.shape[:2], {*row.maps}, f"{name}: "
        )
        for stage, cost in maps.costs.items():
            if cost.left:
                self.said.append(
                    f"{name}: {stage}: {cost.left} of {cost.candidates} candidates were left out "
                    f"(refine.most_patches={self._definition.most_patches})"
                )
        probability = maps.row(self._definition, row.name)
        true = outputs.read_truth(outputs.find_truth(self.truth, files), image.shape)
        place = output, self._pictures[name]
        return outputs.write(*place, image, probability, self.threshold, true)
