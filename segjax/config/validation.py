"""Checks the common fields of a config: structure, types and ranges, before anything is built."""

import math

from ml_collections import ConfigDict

from segjax import checks
from segjax.checks import nearest
from segjax.config.defaults import OPEN, base
from segjax.config.durations import siblings
from segjax.errors import UserError

DTYPES = ("float32", "bfloat16")
PARALLEL = ("sharding", "pmap")
_POSITIVE, _COUNT = checks.whole(least=1), checks.whole(least=0)
_SEED = checks.whole(least=0, most=2**63 - 1)  # what JAX makes a key of
_SIZE = checks.sequence(checks.whole(least=1), 2, words="(height, width) in pixels")
WANTED = {
    "dtype": checks.choice(DTYPES),
    "parallel": checks.choice(PARALLEL),
    "seed": _SEED,
    "data.image_size": _SIZE,
    "data.batch_size": _POSITIVE,
    "data.resident": checks.choice(("auto", "yes", "no")),
    "data.resident_megabytes": _POSITIVE,
    "evaluate.batch_size": _POSITIVE,
    "evaluate.best_mode": checks.choice(("min", "max")),
    "checkpoint.keep": _POSITIVE,
    "log.profile_steps": _COUNT,
}


def check_fields(config: ConfigDict) -> None:
    """UserError naming the first field missing, unknown, of a wrong type or out of range."""
    check_structure(config, base())
    for name in ("train", "validation"):
        if name not in config.data.splits:
            raise UserError(
                f"config.data.splits.{name}: missing; it has: {', '.join(config.data.splits)}"
            )
    _check_weights(config.loss)
    paper_figures(config)
    for key in ("model", "optimizer", "schedule"):
        if "name" not in config[key]:
            raise UserError(f"config.{key}.name: missing; lookup.spec writes such a section")
    for path, wanted in WANTED.items():
        value = config
        for key in path.split("."):
            value = value[key]
        checks.require(f"config.{path}", value, wanted)


def check_structure(config: ConfigDict, pattern: ConfigDict, path: str = "config") -> None:
    """UserError for the first field that only one of `defaults.base()` and `config` has."""
    for key, default in pattern.items():
        here = f"{path}.{key}"
        if key not in config:
            raise UserError(f"{here}: missing; start the file from defaults.base()")
        # A duration may be None or a number in any of its spellings; durations check their own
        # values
        value, free = config[key], default is None or siblings(key)
        if isinstance(default, ConfigDict):
            if not isinstance(value, ConfigDict):
                raise UserError(f"{here}={value!r}: takes a section")
            # An empty section (model, loss, …) is filled by the experiment, as its things ask for
            if len(default) and here not in OPEN:
                check_structure(value, default, here)
        elif not free and type(value) is not type(default):
            wanted = type(default).__name__
            raise UserError(f"{here}={value!r}: takes {wanted}, got {type(value).__name__}")
    for key in config:
        if key not in pattern:
            raise UserError(
                f"{path}.{key}: no such key{nearest(key, pattern)} {path} has: {', '.join(pattern)}"
            )


def _check_weights(terms: ConfigDict) -> None:
    """UserError for a weight that is neither a number nor names a schedule."""
    for name, term in terms.items():
        weight = term.get("weight", 1.0) if isinstance(term, ConfigDict) else 1.0
        path = f"config.loss.{name}.weight"
        if not isinstance(weight, ConfigDict):
            checks.require(path, weight, checks.number(least=0))
        elif "name" not in weight:
            raise UserError(f"{path}.name: missing; lookup.spec writes it")


def check_strengths(given: ConfigDict, known: dict[str, float]) -> None:
    """UserError for an augmentation that a task does not have, or whose strength is negative."""
    for name, value in given.items():
        if name not in known:
            raise UserError(
                f"config.data.augment.{name}: no such augmentation{nearest(name, known)} "
                f"It takes: {', '.join(known)}"
            )
        checks.require(f"config.data.augment.{name}", value, checks.number(least=0))


def paper_figures(config: ConfigDict, where: str = "") -> dict[str, tuple[float, float]]:
    """`config.paper` as (mean, standard deviation or nan); UserError for what is no such figure."""
    figures = {}
    for name, value in config.get("paper", {}).items():
        # nan, a deviation that the paper does not give, which 0 would claim
        pair = value if isinstance(value, tuple) else (value, math.nan)
        # By type, since true would pass for 1
        written = len(pair) == 2 and all(type(number) in (int, float) for number in pair)
        if not written or not math.isfinite(pair[0]) or math.isinf(pair[1]):
            raise UserError(
                f"{where}config.paper.{name}={value!r}: takes a number, or a mean and a deviation"
            )
        figures[name] = (float(pair[0]), float(pair[1]))
    return figures
