"""What the augmentations gave when photographs and slices each had a warp of their own.

Each case is a batch of keys through one set of options; inputs and outputs lie in goldens.npz.
`python -m tests.data.augment.goldens` writes it with the code at hand: only where draws are meant
to change.
"""

import functools
import pathlib

import jax
import numpy as np

from segjax.data.augment import EFFECTS, augment, augment_slice, augment_with_masks

FILE = pathlib.Path(__file__).with_name("goldens.npz")
KEYS = 4

GEOMETRY = {
    "flip_horizontal": 0.5,
    "flip_vertical": 0.5,
    "rotate": 30.0,
    "scale": 0.2,
    "translate": 0.15,
}
INTENSITY = {"brightness": 0.1, "contrast": 0.2, "gamma": 0.3, "noise": 0.05}
# Name: (height, width), number of points, options.
PHOTOGRAPHS = {
    "everything": ((19, 25), 2, GEOMETRY | INTENSITY),
    "narrow": ((40, 3), 0, {"rotate": 45.0, "scale": 0.9, "translate": 0.5}),
    "pixel": ((1, 1), 1, GEOMETRY),
}
# Name: (height, width), number of masks, options.
WITH_MASKS = {"everything": ((20, 26), 2, GEOMETRY | INTENSITY)}
OFF = dict.fromkeys(EFFECTS, 0.0)
SPATIAL = {"rotate": 0.8, "scale": 0.6, "scale_low": 0.8, "scale_high": 1.3}
# Name: region, patch, channels, planes, classes, options.
SLICES = {
    "often": ((23, 23), (19, 15), 2, 2, 3, dict.fromkeys(EFFECTS, 0.7)),
    "small_angles": ((26, 33), (21, 28), 1, 0, 2, OFF | SPATIAL | {"rotate_degrees": 15.0}),
    "whole_region": ((22, 9), (22, 9), 1, 1, 2, OFF | {"rotate": 1.0, "rotate_degrees": 45.0}),
    "pixel": ((3, 3), (1, 1), 1, 1, 2, OFF | SPATIAL | {"mirror": 0.5}),
}


def photograph(generator: np.random.Generator, *shape: int) -> np.ndarray:
    """Noise in [0, 1] with two decimals, which compresses."""
    return generator.integers(0, 101, shape).astype(np.float32) / np.float32(100)


def inputs() -> dict[str, np.ndarray]:
    """The arrays of every case."""
    generator, made = np.random.default_rng(11), {}
    for name, (size, count, _) in PHOTOGRAPHS.items():
        made[f"photographs/{name}/image"] = photograph(generator, KEYS, *size, 3)
        share = 0.2 + 0.6 * photograph(generator, KEYS, count, 2)
        points = (share * np.array(size[::-1], np.float32)).astype(np.float32)
        points[-1:, :1] = np.nan
        made[f"photographs/{name}/points"] = points
    for name, (size, count, _) in WITH_MASKS.items():
        made[f"with_masks/{name}/image"] = photograph(generator, KEYS, *size, 3)
        made[f"with_masks/{name}/masks"] = np.round(photograph(generator, KEYS, *size, count))
    for name, (region, _, channels, planes, classes, _) in SLICES.items():
        made[f"slices/{name}/image"] = 4 * photograph(generator, KEYS, *region, channels) - 2
        labels = generator.integers(0, classes, (KEYS, *region)).astype(np.uint8)
        made[f"slices/{name}/labels"] = labels
        made[f"slices/{name}/planes"] = photograph(generator, KEYS, *region, planes)
    return made


def function(case: str):
    """A case's function of (key, arrays…), for one example."""
    kind, name = case.split("/")
    if kind == "photographs":
        return functools.partial(augment, **PHOTOGRAPHS[name][2])
    if kind == "with_masks":
        return functools.partial(augment_with_masks, **WITH_MASKS[name][2])
    _, patch, _, _, classes, options = SLICES[name]
    return functools.partial(augment_slice, patch=patch, num_classes=classes, **options)


def cases() -> list[str]:
    """Every case by kind and name."""
    kinds = {"photographs": PHOTOGRAPHS, "with_masks": WITH_MASKS, "slices": SLICES}
    return [f"{kind}/{name}" for kind, table in kinds.items() for name in table]


def outputs(case: str, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    """What a case gives for its stored inputs."""
    fields = [array for name, array in arrays.items() if name.rsplit("/", 1)[0] == case]
    keys = jax.random.split(jax.random.key(cases().index(case)), KEYS)
    run = jax.jit(jax.vmap(function(case)))
    return [np.asarray(array) for array in run(keys, *fields)]


def main() -> None:
    """Writes goldens.npz with the code at hand."""
    arrays = inputs()
    made = {
        f"{case}/out{k}": array for case in cases() for k, array in enumerate(outputs(case, arrays))
    }
    np.savez_compressed(FILE, **arrays, **made)
    print(f"wrote {FILE}: {FILE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
