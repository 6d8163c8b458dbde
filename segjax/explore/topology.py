"""Persistence of a predicted map: which components and loops it has, and how firmly."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from segjax.explore import plotting
from segjax.ops.persistence import persistence_pairs
from segjax.tasks.binding import Term, combine
from segjax.types import Array, Float

NAMES = ("components", "loops")
MARKERS = ("o", "s")


def broken_ring(size: int = 48, *, weakest: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """A ring predicted with a weak spot and a stray island: almost no wrong pixel, wrong topology.

    Args:
        size: height and width in pixels.
        weakest: probability in the middle of the weak spot.

    Returns: probabilities `[size, size]`, float32, and the true mask, int32.
    """
    row, column = (np.mgrid[:size, :size] + 0.5) / size - 0.5
    radius = np.hypot(row, column)
    label = np.abs(radius - 0.28) < 0.06
    probs = 1 / (1 + np.exp(-(0.06 - np.abs(radius - 0.28)) / 0.012))
    weak = np.exp(-(row**2 + (column - 0.28) ** 2) / (2 * 0.06**2))
    island = 0.8 * np.exp(-((row - 0.4) ** 2 + (column + 0.4) ** 2) / (2 * 0.03**2))
    probs = np.maximum(0.03 + 0.94 * probs * (1 - (1 - weakest) * weak), island)
    return probs.astype(np.float32), label.astype(np.int32)


@dataclass(frozen=True)
class Diagram:
    """The features of one dimension, the most persistent first.

    Args:
        birth: probability at which each appears as the threshold falls, `[k]`.
        death: probability at which it goes again; 0 for the component that never does, `[k]`.
        birth_pixels, death_pixels: (row, column) of the pixels that decide it, `[k, 2]`; -1 where
            nothing ends it.
    """

    birth: np.ndarray
    death: np.ndarray
    birth_pixels: np.ndarray
    death_pixels: np.ndarray


def diagram(probs: Float[Array, "h w"], dim: int, *, max_pairs: int = 64) -> Diagram:
    """Components (dim 0) or loops (dim 1) of the sets where `probs` exceeds a falling threshold.

    Source: superlevel persistence, as in Hu et al., Topology-Preserving Deep Image Segmentation
    (2019). Departures: none.

    Args:
        probs: probability of the object.
        dim: 0 or 1.
        max_pairs: as in `ops.persistence_pairs`, which does the work.
    """
    probs = jnp.asarray(probs)
    # Falling thresholds of p are rising ones of 1 - p
    pairs = persistence_pairs(1 - probs[None], max_pairs=max_pairs, dim=dim, route="auto")
    # There are always `max_pairs` places; the unused ones hold -1
    valid = np.asarray(pairs.valid)[0]
    birth, death = (np.asarray(index)[0][valid] for index in (pairs.birth, pairs.death))
    values = np.asarray(probs).ravel()
    places = [
        np.where((index < 0)[:, None], -1, np.stack(np.divmod(index, probs.shape[1]), axis=-1))
        for index in (birth, death)
    ]
    # -1 marks the component that never ends; what it indexes is not used
    return Diagram(values[birth], np.where(death < 0, 0.0, values[death]), *places)


def descend(
    terms: Sequence[Term],
    probs: np.ndarray,
    label: np.ndarray,
    *,
    steps: int = 100,
    rate: float = 2.0,
) -> np.ndarray:
    """Probabilities `[h, w]` after plain gradient descent on the logits of every pixel themselves.

    Args:
        terms: losses of logits and labels (`loss_text.parse_loss`), added up with their weights.
        probs: where to start, inside (0, 1).
        label: the true mask.
        steps, rate: of the descent.
    """
    labels = jnp.asarray(label)[None]

    def total(logits: Array) -> Array:
        return jnp.sum(combine(terms, {"logits": logits, "labels": labels})["loss"])

    step = jax.jit(lambda logits: logits - rate * jax.grad(total)(logits))
    logits = jnp.asarray(np.log(probs / (1 - probs)), jnp.float32)[None, ..., None]
    for _ in range(steps):
        logits = step(logits)
    return np.asarray(jax.nn.sigmoid(logits))[0, ..., 0]


def persistence_figure(probs: dict[str, np.ndarray], *, least: float = 0.1) -> Figure:
    """Maps with their most persistent features marked, each above its diagram.

    Args:
        probs: title -> probability of the object, `[h, w]`.
        least: features that persist over a smaller range are drawn faint and not marked.
    """
    figure, grid = plotting.panels(2, len(probs), width=3.0, height=2.9)
    for column, (title, image) in enumerate(probs.items()):
        top, bottom = grid[:, column]
        plotting.picture(top, image, title, cmap="Greys_r", vmin=0, vmax=1)
        bottom.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
        for dim, (name, marker) in enumerate(zip(NAMES, MARKERS, strict=True)):
            found, colour = diagram(image, dim), plotting.COLOURS[dim]
            firm = found.birth - found.death >= least
            # Hollow squares leave the dots below them to be seen.
            shape = {"color": colour, "marker": marker, "linestyle": "none"}
            shape |= {"fillstyle": "full" if dim == 0 else "none", "markersize": 5 + 3 * dim}
            bottom.plot(found.death[~firm], found.birth[~firm], alpha=0.3, **shape)
            label = f"{name}: {firm.sum()}"
            bottom.plot(found.death[firm], found.birth[firm], label=label, **shape)
            style = {"color": colour, "linestyle": "none", "markersize": 6, "markeredgewidth": 1.6}
            top.plot(*found.birth_pixels[firm][:, ::-1].T, marker, fillstyle="none", **style)
            ends = firm & (found.death_pixels[:, 0] >= 0)
            top.plot(*found.death_pixels[ends][:, ::-1].T, "x", **style)
        bottom.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04), aspect="equal")
        bottom.legend(fontsize=7, loc="lower right")
        ylabel = "birth (probability)" if column == 0 else ""
        plotting.describe(bottom, "", "death (probability)", ylabel)
    return figure
