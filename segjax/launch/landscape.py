"""The figures of `segjax landscape`, among them the loss around a work folder's parameters."""

import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp

from segjax.config import lookup
from segjax.explore import curvature, parameters, plotting, position, shapes, simplex, training_maps
from segjax.explore.loss_text import (
    as_user_error,
    label_of,
    on_one_pixel,
    parse_loss,
    raising_for,
)
from segjax.inference.open import Trained, checkpoint_used, load_trained, open_parts
from segjax.tasks.base import Fields
from segjax.tasks.binding import combine_scales
from segjax.train.step import with_outputs
from segjax.types import Array


def loss_of_folder(trained: Trained, fields: Fields) -> Callable[[object], Array]:
    """The trained loss as a function of the parameters: the mean over some images of its task.

    The network is evaluated, not trained: batch statistics stay those of training, nothing is
    augmented, scheduled weights are those of the checkpoint's step. All images go through at once.
    """
    made, state = trained.experiment, jax.device_get(trained.state.without_optimizer)
    scheduled = made.weights.at(state.step, state.loss_weights)

    def loss(params: object) -> Array:
        variables = {**state.variables, "params": params}
        apply_fn = functools.partial(made.model.apply, variables, train=False)
        outputs = made.task.evaluated(apply_fn, fields)
        scales = with_outputs(made.task.scales(outputs, fields), outputs, made.terms)
        return jnp.mean(combine_scales(made.terms, scales, scheduled)["loss"])

    return loss


def parameters_figure(
    folder: pathlib.Path,
    *,
    kind: str = "best",
    split: str = "train",
    examples: int = 8,
    reach: float = 1.0,
    points: int = 21,
    eigenvalues: int = 5,
    seed: int = 0,
    places: Mapping[str, str] | None = None,
) -> plotting.Figure:
    """Lines, plane and curvature of the loss around a work folder's parameters.

    Args:
        folder: a trained work folder.
        kind: 'best' or 'latest' checkpoint.
        split: whose images the loss is taken on.
        examples: how many of them.
        reach: how far along each direction, in lengths of the filters.
        points: along each line and each side of the plane; 2 points + points^2 evaluations.
        eigenvalues: how many of the Hessian; 0 for none.
        seed: of the directions.
        places: a `data_dir` or `cache_dir` in place of the saved ones.
    """
    parts = open_parts(folder, places)
    parts.data.count(split)
    trained = load_trained(folder, kind, parts=parts)
    fields = trained.experiment.task.probe(trained.experiment, split, examples)
    loss = loss_of_folder(trained, fields)
    params = jax.device_get(trained.state.params)
    start, directions = jax.random.split(jax.random.key(seed, impl="rbg"))
    spectrum = None
    if eigenvalues:
        spectrum = curvature.leading_eigenvalues(loss, params, start, count=eigenvalues)
    around = parameters.loss_landscape(
        loss,
        params,
        directions,
        reach=reach,
        points=points,
        plane_points=points,
        spectrum=spectrum,
    )
    images = len(jax.tree.leaves(fields)[0])
    title = (
        f"{folder.name}: loss around its {checkpoint_used(folder, kind)} checkpoint "
        f"(step {int(trained.state.step)})\n"
        f"mean over {images} image{'s' * (images > 1)} of the split {split!r}"
    )
    return parameters.landscape_figure(around, title)


def position_figure(**options) -> plotting.Figure:
    """Localisation losses by the predicted position; `options` as in `position.position_figure`."""
    with as_user_error("landscape position"):
        return position.position_figure(**options)


def shapes_figure(
    kind: str, losses: Sequence[str], *, size: int = 64, **options
) -> plotting.Figure:
    """Several losses over one family of predicted objects; `options` as in `shapes.family`."""
    terms = [parse_loss(text, pixels=(size, size)) for text in losses]
    return shapes.shapes_figure(terms, kind, size=size, **options)


def simplex_figure(losses: Sequence[str], vector: tuple[float, ...]) -> plotting.Figure:
    """Several losses of one pixel of class 3 over the softmax triangle; `vector` is its map."""
    functions = {}
    for text in losses:
        term = parse_loss(text, channels=3)
        functions[label_of(term)] = of_pixel = on_one_pixel(term, 2, vector)
        with raising_for(term, f"loss {text!r} on one pixel"):
            # Traced once with few pixels, so that a misfit is noticed before anything is computed
            jax.eval_shape(of_pixel, jax.ShapeDtypeStruct((4, 3), jnp.float32))
    return simplex.loss_figure(functions)


def training_figure(maps: Sequence[str], *, size: int, steps: int) -> plotting.Figure:
    """Wrong gradient signs while a small network learns a cardiac phantom, a row a kind of maps."""
    makers = {kind: lookup.find("maps", kind, "maps") for kind in maps}
    scene = training_maps.phantom(size)
    labels, classes = jnp.asarray(scene.labels)[None], int(scene.labels.max()) + 1
    loss = lookup.find("losses", "region_wise")
    watched = sorted({0, min(10, steps), steps})
    records = {}
    for kind, make in makers.items():
        made = make(labels, classes)[0]
        record = training_maps.train(scene, made, loss, steps=steps, watched=watched)
        records[f"{kind} maps"] = record
    return training_maps.training_figure(scene, records)


DRAWERS = {
    "position": position_figure,
    "simplex": simplex_figure,
    "training": training_figure,
    "parameters": parameters_figure,
} | {kind: functools.partial(shapes_figure, kind) for kind in shapes.KINDS}
