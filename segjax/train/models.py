"""The model that a config names, and how it is called."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from segjax.config import lookup
from segjax.errors import UserError

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
# What a module keeps by `sow` for a reader of one call: no part of a state.
PASSING = ("intermediates",)


def make_model(config: ConfigDict) -> Any:
    """The model that `config.model` names, computing in `config.dtype`, for one device."""
    target, options = lookup.resolve("models", config.model, "config.model")
    supplied = {"dtype": DTYPES[config.dtype]} if _has(target, "dtype") else {}
    if not supplied and config.dtype != "float32":
        raise UserError(f"config.dtype={config.dtype!r}: {config.model.name} has no field `dtype`")
    try:
        return target(**options, **supplied)
    except (TypeError, ValueError) as error:
        raise UserError(f"config.model: {error}") from error


def over_axis(model: Any, axis_name: str | None) -> Any:
    """The model on the devices of an axis, over which it takes its batch statistics."""
    if axis_name is None or not _has(type(model), "axis_name"):
        return model
    return model.clone(axis_name=axis_name)


def check_axis(model: Any, collections: Mapping, parallel: str) -> None:
    """UserError where batch statistics would be those of each device alone."""
    if parallel == "pmap" and collections.get("batch_stats") and not _has(type(model), "axis_name"):
        raise UserError(
            f"config.parallel='pmap': {type(model).__name__} has batch statistics and no field "
            "`axis_name` to take them over all devices; take 'sharding'"
        )


def check_collections(began: Mapping, after: Mapping, model: Any) -> None:
    """UserError for a collection that a step leaves with another shape, type or structure."""
    before, later = (
        {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in flat}
        for flat in (jax.tree_util.tree_leaves_with_path(tree) for tree in (began, after))
    )
    for name in {**before, **later}:
        shown = [
            f"{tree[name].dtype}{list(tree[name].shape)}" if name in tree else "not there"
            for tree in (before, later)
        ]
        if shown[0] != shown[1]:
            raise UserError(
                f"config.model: {type(model).__name__} begins with {name} {shown[0]}, and after a "
                f"step it is {shown[1]}; a state keeps its shapes and types"
            )
        if jnp.issubdtype(before[name].dtype, jax.dtypes.prng_key):
            raise UserError(
                f"config.model: {type(model).__name__} keeps a key in {name}, which a checkpoint "
                "cannot hold; keep jax.random.key_data of it"
            )


def _has(target: type, name: str) -> bool:
    """Whether a module has a field."""
    return dataclasses.is_dataclass(target) and name in {f.name for f in dataclasses.fields(target)}


def initial(model: Any, image_shape: tuple[int, ...], seed: int) -> tuple[dict, dict]:
    """Parameters and other collections that `seed` gives; cheap to compile (`rbg`)."""
    # JAX's default generator takes several times as long to compile, for so many draws
    key = jax.random.key(seed, impl="rbg")
    # One image: the shapes of parameters do not depend on the batch
    variables = dict(model.init(key, jnp.zeros((1, *image_shape), jnp.float32), train=False))
    params = variables.pop("params", {})
    return params, {name: value for name, value in variables.items() if name not in PASSING}


def apply_in_training(
    model: Any, params: Any, collections: Mapping, image: jax.Array, key: jax.Array
) -> tuple[Mapping, dict]:
    """Outputs, and the collections after the call. `key` gives dropout its random numbers.

    Raises: TypeError where the model returns no logits.
    """
    outputs, changed = model.apply(
        {"params": params, **collections},
        image,
        train=True,
        mutable=list(collections),
        rngs={"dropout": key},
    )
    check_outputs(outputs)
    return outputs, {name: changed.get(name, value) for name, value in collections.items()}


def check_outputs(outputs: object) -> None:
    """TypeError unless a model returned a dict with logits."""
    if not isinstance(outputs, Mapping):
        raise TypeError(f"a model returns a dict with 'logits', got {type(outputs).__name__}")
    if "logits" not in outputs:
        raise TypeError(f"a model returns a dict with 'logits', got one with {', '.join(outputs)}")
    if not hasattr(outputs["logits"], "shape"):
        raise TypeError(f"'logits' of a model are an array, got {type(outputs['logits']).__name__}")
