"""What runs on the host beside the device routines of segjax.ops: SciPy, edt, GUDHI."""

import functools
import importlib
import pathlib
from collections.abc import Callable
from types import ModuleType

import numpy as np
from scipy import ndimage


def optional(name: str) -> ModuleType | None:
    """A module, or None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


gudhi = optional("gudhi")
edt = optional("edt")


def operation_calls(folder: pathlib.Path) -> dict[str, dict[str, Callable]]:
    """name -> {peer: closure}: persistence of the first logit, distance transforms of the masks."""
    calls = {}
    if gudhi:
        images = np.load(folder / "logits.npy")[..., 0].astype(np.float64)
        for route in ("host", "device"):
            calls[f"persistence {route}"] = {
                "GUDHI": functools.partial(each, both_dimensions, images)
            }
    for path in sorted(folder.glob("*se_*.npy")):
        mask = np.load(path)
        calls[f"edt {path.stem}"] = {
            "SciPy": functools.partial(each, ndimage.distance_transform_edt, mask)
        }
        if edt:
            calls[f"edt {path.stem}"]["edt"] = functools.partial(each, edt.edt, mask)
    return calls


def each(function: Callable, images: np.ndarray) -> list:
    """What a function of one image makes of every image of a batch."""
    return [function(image) for image in images]


def both_dimensions(image: np.ndarray) -> list:
    """Pixel pairs of components and holes by the cofaces API."""
    complex_ = gudhi.CubicalComplex(top_dimensional_cells=image)
    complex_.persistence()
    return complex_.cofaces_of_persistence_pairs()
