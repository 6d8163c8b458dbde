"""The toy experiment of the multiscale softmax cross entropy paper (its Fig. 3)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from segjax import losses
from segjax.ops.heatmap import maximum_scales

# By how much the predicted class stands above all others; beyond 20 the pictures do not change.
GAP = 20.0

TITLES = {
    "mse": "Mean squared error",
    "sce": "Softmax cross entropy",
    "msce": "Multiscale softmax cross entropy, M = {scales}",
}


def toy_losses(classes: int = 256, target: int = 70) -> dict[str, np.ndarray]:
    """Each localisation loss of a confident prediction at every position, divided by its largest.

    The prediction j is a `classes` x `classes` heat map with one high pixel, at (j, j): both of its
    axes then hold the same one-hot vector of logits, at every scale.

    Source: Wu, Walter, Merhof, Multiscale Softmax Cross Entropy for Fovea Localization on Color
    Fundus Photography, Fig. 3.
    Departures: the paper does not give the height of its logits, nor M of its third panel: we take
    a gap of 20 and half of the maximum. The other pixels hold -20 rather than 0, so that the
    sigmoid of the squared error, too, sees one position and not a flat map.

    Args:
        classes: number of positions, a power of two.
        target: the true position, an index.

    Returns: `{"mse", "sce", "msce_<half of the maximum>", "msce_<maximum>"}`, each `[classes]`.
        The multiscale loss takes the levels 0, 1/M, ..., 1: the number of dyadic blocks around the
        prediction that miss the target. It is not monotone in the distance.
    Raises: ValueError where classes is not a power of two of at least 8, or target is no class.
    Cost: O(classes^3) time, O(classes^2) memory.
    """
    # A power of two has one bit set
    if classes < 8 or classes & (classes - 1):
        raise ValueError(f"`classes` takes a power of two, at least 8, got {classes}")
    if not 0 <= target < classes:
        raise ValueError(f"`target` takes an index from 0 to {classes - 1}, got {target}")
    deepest = maximum_scales(classes, classes)
    multiscale = losses.multiscale_softmax_cross_entropy
    values = {
        "mse": _values(losses.coordinate_mean_squared_error, classes, target),
        "sce": _values(multiscale, classes, target, scales=1),
    }
    for scales in (deepest // 2, deepest):
        values[f"msce_{scales}"] = _values(multiscale, classes, target, scales=scales)
    return values


def toy_figure(classes: int = 256, target: int = 70) -> Figure:
    """The four panels of Fig. 3. Raises: as `toy_losses`."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    values = toy_losses(classes, target)
    for letter, panel, (name, curve) in zip("abcd", panels.flat, values.items(), strict=True):
        family, _, scales = name.partition("_")
        panel.plot(np.arange(classes), curve, color="tab:blue")
        panel.axvline(target, color="tab:red", linewidth=0.8, linestyle="--")
        panel.set_title(f"({letter}) {TITLES[family].format(scales=scales)}", fontsize=10)
    figure.supxlabel("predicted position (dashed: the true one)")
    figure.supylabel("loss / largest loss")
    figure.set_label(
        "Not of this run: how each loss grows with the distance of a confident prediction from the "
        "true position (Fig. 3 of the paper on this loss)."
    )
    return figure


def _values(loss: Callable, classes: int, target: int, **options) -> np.ndarray:
    point = jnp.full((1, 2), target + 0.5, jnp.float32)

    def at(position):
        here = jnp.arange(classes) == position
        heatmap = jnp.where(here[:, None] & here[None, :], 0.0, -GAP)
        return loss(heatmap[None], point, **options)[0]

    # One heat map at a time: all of them at once would take `classes` times the memory.
    values = np.asarray(jax.jit(lambda: jax.lax.map(at, jnp.arange(classes)))())
    return values / values.max()
