"""segjax: segmentation and localisation of biomedical images in JAX and Flax.

Importing the package touches no device. The public families are modules, loaded when they are first
asked for: `from segjax import losses, maps, metrics, models, ops, stats`, or `segjax.losses`.
"""

import importlib
from types import ModuleType

__version__ = "0.1.0"

FAMILIES = ("losses", "maps", "metrics", "models", "ops", "stats")


def __getattr__(name: str) -> ModuleType:
    # JAX takes a second to load, which `import segjax` alone does not need
    if name in FAMILIES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *FAMILIES]
