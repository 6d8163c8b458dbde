"""The networks of both stages applied to a photograph: every map that results are made of."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from segjax.inference.open import Trained
from segjax.pipelines.definition import AT, Definition, Row
from segjax.pipelines.fusion import fused
from segjax.pipelines.refinement import Cost, refined
from segjax.tasks.lesions.network import PhotographNetwork, enlarged
from segjax.tasks.lesions.scoring import PatchScorer


@dataclass
class Maps:
    """The maps of one photograph at the size at which it is stored, and what they took.

    Attributes:
        by_name: probabilities `[h, w]`, as rows name them.
        seconds: of each stage.
        costs: of each refinement.
    """

    by_name: dict[str, np.ndarray] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    costs: dict[str, Cost] = field(default_factory=dict)

    def row(self, definition: Definition, name: str) -> np.ndarray:
        """The map of a row."""
        row = definition.row(name)
        return fused([self.by_name[map_name] for map_name in row.maps], row.fusion)


class Networks:
    """The networks of some rows, opened once. A photograph goes through each at its scale.

    Args:
        definition: of the pipeline.
        trained: the stages, at least those of the rows.
        rows: the results that are wanted.
    """

    def __init__(self, definition: Definition, trained: Mapping[str, Trained], rows: Sequence[Row]):
        self._definition, self._trained = definition, trained
        self._proposals, self._refinements = definition.needed(rows)
        self._networks: dict[str, PhotographNetwork | PatchScorer] = {}
        for name in self._proposals:
            made = trained[name]
            self._networks[name] = PhotographNetwork(made.experiment, made.devices)
        for name in self._refinements:
            self._networks[name] = PatchScorer(trained[name].experiment)
        for name, network in self._networks.items():
            network.place(trained[name].state)

    def task(self, name: str):
        """The task of a stage."""
        return self._trained[name].experiment.task

    def prepared(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """A photograph as each stage takes it."""
        made = {}
        for stage in self._networks:
            recipe = self.task(stage).recipe
            if recipe not in made:
                made[recipe] = recipe.apply(image)
        return {stage: made[self.task(stage).recipe] for stage in self._networks}

    def maps(
        self, images: Mapping[str, np.ndarray], size: tuple[int, int], label: str = ""
    ) -> Maps:
        """The maps of a photograph.

        Args:
            images: the photograph as each stage takes it.
            size: height and width at which it is stored.
            label: beside progress bars.
        """
        made = Maps()
        for name in self._proposals:
            made.by_name[name] = self._proposed(name, images[name], size, made, label)
        for name in self._refinements:
            self._refine(name, images[name], made, label)
        return made

    def _proposed(self, name, image, size, made: Maps, label: str) -> np.ndarray:
        network, began = self._networks[name], time.perf_counter()
        bar = {"total": network.tiles(image.shape[:2]), "desc": f"{label}{name}: tiles"}
        with tqdm(**bar, leave=False, disable=not sys.stderr.isatty()) as progress:
            found = enlarged(network.probabilities(image, progress.update), size)
        made.seconds[name] = time.perf_counter() - began
        return found

    def _refine(self, name: str, image, made: Maps, label: str) -> None:
        """The maps of a refinement under the masks of proposals, each pixel judged once."""
        definition, began = self._definition, time.perf_counter()
        of = definition.masks_of(name)
        masks = {p: made.by_name[p] > definition.threshold for p in of}
        strength = np.maximum.reduce([made.by_name[p] for p in of])
        scorer, scale = self._networks[name], self.task(name).recipe.scale

        def score(pixels: np.ndarray) -> np.ndarray:
            centre = np.floor((pixels + 0.5) * scale).astype(np.int64)
            centre = np.minimum(centre, np.array(image.shape[:2]) - 1)
            bar = {"total": len(pixels), "desc": f"{label}{name}: patches"}
            with tqdm(**bar, leave=False, disable=not sys.stderr.isatty()) as progress:
                return scorer(image, centre, progress.update)[0]

        values, made.costs[name] = refined(
            strength,
            np.logical_or.reduce(list(masks.values())),
            score,
            strides=definition.strides,
            above=definition.above,
            most=definition.most_patches,
        )
        for proposal, mask in masks.items():
            made.by_name[f"{name}{AT}{proposal}"] = np.where(mask, values, np.float32(0))
        made.seconds[name] = time.perf_counter() - began
