"""A network of patches applied to whole photographs, by overlapping tiles."""

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from segjax.data.patches.source import to_float
from segjax.ops import tiling
from segjax.tasks.base import Devices, Experiment

# Tiles begin at multiples of it, where their size allows it: the coarse grids of a network that
# halves its image up to four times are then those of the whole photograph.
ALIGNED = 16


def alignment(tile: Sequence[int]) -> int:
    """Of what the starts of tiles of a size are multiples."""
    return 1 if any(side % ALIGNED for side in tile) else ALIGNED


class PhotographNetwork:
    """Gives the map of probabilities of a photograph, at the scale of its network."""

    def __init__(self, experiment: Experiment, devices: Devices):
        config, task, model = experiment.config, experiment.task, experiment.model
        self.task, self._batch_size = task, config.evaluate.batch_size
        # Of this process alone: every process makes whole photographs by itself
        self._devices = devices.local(self._batch_size, "config.evaluate.batch_size")

        def probabilities(variables, tiles):
            outputs = model.apply(variables, to_float(tiles), train=False)
            return task.predict(outputs)["probability"][..., None]

        whole, split = self._devices.whole, self._devices.split
        shardings = {"in_shardings": (whole, split), "out_shardings": split}
        self._apply = jax.jit(probabilities, **shardings)

    def place(self, state: Any) -> None:
        """Takes a state's variables."""
        # Through the host: the state may lie on other devices than these
        self._variables = jax.device_put(jax.device_get(state.variables), self._devices.whole)

    def tiles(self, size: tuple[int, int]) -> int:
        """How many tiles a photograph of a size, at the scale, is made of."""
        multiple, sides = self._aligned(size)
        count = 1
        for side, tile in zip(sides, self.task.tile, strict=True):
            starts = tiling.tile_starts(side, tile, self.task.tile_step, multiple=multiple)
            count *= len(starts)
        return count

    def _aligned(self, size: tuple[int, int]) -> tuple[int, tuple[int, ...]]:
        """Of what starts of tiles are multiples, and the size that a photograph is padded to."""
        multiple = alignment(self.task.tile)
        whole = (-(-side // multiple) * multiple for side in size)
        # By its border, as in training, where it is smaller than a tile, too
        return multiple, tuple(max(pair) for pair in zip(whole, self.task.tile, strict=True))

    def probabilities(
        self, image: np.ndarray, progress: Callable[[int], object] | None = None
    ) -> np.ndarray:
        """The map `[h, w]` float32 of a preprocessed photograph `[h, w, 3]` uint8.

        `progress` is called with the number of tiles of each batch.

        Raises: FloatingPointError where the network gives no numbers.
        """
        size = image.shape[:2]
        left = self.tiles(size)
        multiple, sides = self._aligned(size)
        missing = [(0, whole - side) for whole, side in zip(sides, size, strict=True)]
        if sides != size:
            image = np.pad(image, [*missing, (0, 0)], mode="edge")

        def apply(tiles: np.ndarray) -> jax.Array:
            nonlocal left
            if progress is not None:
                progress(min(left, len(tiles)))  # the last batch is filled up
                left -= len(tiles)
            return self._apply(self._variables, jnp.asarray(tiles.astype(np.uint8)))

        found = tiling.predict_slices(
            np.asarray(image)[None],
            apply,
            patch=self.task.tile,
            batch_size=self._batch_size,
            step=self.task.tile_step,
            margin=self.task.tile_margin,
            multiple=multiple,
        )
        found = found[0, : size[0], : size[1], 0]
        check_numbers(found)
        return found


def check_numbers(probabilities: np.ndarray) -> None:
    """FloatingPointError for a network whose activations have overflowed."""
    if not np.isfinite(probabilities).all():
        raise FloatingPointError("the network gives probabilities that are no numbers")


def enlarged(probabilities: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map at the size of its photograph, (height, width), by bilinear interpolation."""
    if probabilities.shape == tuple(size):
        return probabilities
    # Between the centres of pixels, as the areas were averaged
    return cv2.resize(probabilities, size[::-1], interpolation=cv2.INTER_LINEAR)
