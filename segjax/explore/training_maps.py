"""Where the gradient of the region-wise loss has wrong signs, and how training changes that."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from segjax.explore import plotting
from segjax.ops import checks, classes
from segjax.ops.convolution import conv2d
from segjax.types import Array, Float, Int, PRNGKeyArray


def negative_components(
    logits: Float[Array, "b *s c"], maps: Float[Array, "b *s c"]
) -> Int[Array, "b *s"]:
    """How many components of the region-wise loss's gradient are negative at each pixel (1: right).

    A step down the gradient raises every class whose component is negative. A well-made map has
    one, the true class; with two or more, wrong classes grow together with the right one.

    dL/dz_j = p_j (Z_j - sum_k p_k Z_k), counted where sum_k p_k (Z_j - Z_k) < 0.

    Source: Valverde and Tohka, Region-wise Loss for Biomedical Image Segmentation, equation (2)
    and section 3.4.
    Departures: the factor p_j is left out, it changes no sign but may underflow; equal map values
        give exactly 0.

    Args:
        logits: raw scores, at least two classes.
        maps: the region-wise map, as the loss takes it.

    Returns: int32, 0 to c - 1. 0 only where the map's values are all equal, or where every class
        but those of the least value has underflowed.
    Empty cases: none.
    Raises: ValueError on a wrong rank or shape, or a single channel; TypeError on integer logits.
    Cost: O(n c^2) time.
    """
    classes.check_logits(logits)
    checks.check_shape("maps", maps, tuple(logits.shape))
    if logits.shape[-1] < 2:
        raise ValueError(f"`logits` takes at least two channels, got shape {tuple(logits.shape)}")
    probs = classes.probabilities(logits)
    planes = [maps[..., k].astype(probs[0].dtype) for k in range(maps.shape[-1])]
    count = jnp.zeros(logits.shape[:-1], jnp.int32)
    for own in planes:
        # Differences of map values, not p (Z_j - mean): equal values give 0 to the last bit
        slope = sum(p * (own - other) for p, other in zip(probs, planes, strict=True))
        count += (slope < 0).astype(jnp.int32)
    return count


@dataclass(frozen=True)
class Scene:
    """A drawn image and its classes: background, a disc, a ring around it, and a crescent.

    Args:
        image: grey values with noise, `[h, w]`.
        labels: classes 0 to 3, `[h, w]`.
    """

    image: np.ndarray
    labels: np.ndarray

    @property
    def grey(self) -> np.ndarray:
        """The image as colours in [0, 1], `[h, w, 3]`."""
        low, high = self.image.min(), self.image.max()
        return np.repeat(((self.image - low) / (high - low))[..., None], 3, axis=-1)


def phantom(size: int = 48, *, noise: float = 0.2, seed: int = 0) -> Scene:
    """A picture laid out as a short-axis slice of the heart, the structures of the paper's ACDC.

    Args:
        size: height and width in pixels.
        noise: standard deviation of the grey values, which lie between 0 and 1.
        seed: of the noise.
    """
    row, column = (np.mgrid[:size, :size] + 0.5) / size
    ventricle = np.hypot(row - 0.5, column - 0.6)
    labels = np.where(ventricle < 0.22, 2, 0)  # the muscle
    labels[ventricle < 0.13] = 3  # the left ventricle
    crescent = (np.hypot((row - 0.48) * 0.8, column - 0.42) < 0.24) & (ventricle >= 0.22)
    labels[crescent] = 1  # the right ventricle
    grey = np.array([0.35, 0.9, 0.15, 0.8])[labels]
    grey = grey + noise * np.random.default_rng(seed).standard_normal(labels.shape)
    return Scene(grey.astype(np.float32), labels.astype(np.int32))


@dataclass(frozen=True)
class Training:
    """What one training left behind.

    Args:
        shares: fraction of pixels with more than one negative component, at each step, `[steps]`.
        accuracies: fraction of pixels whose most probable class is the true one, `[steps]`.
        counts: step -> negative components of every pixel, `[h, w]`.
        predictions: step -> most probable class, `[h, w]`.
        params: the network's kernels in the end.
    """

    shares: np.ndarray
    accuracies: np.ndarray
    counts: dict[int, np.ndarray]
    predictions: dict[int, np.ndarray]
    params: list[Array]


def initial_params(
    key: PRNGKeyArray, *, classes: int, width: int = 12, layers: int = 4
) -> list[Array]:
    """Kernels of a network of 5 x 5 convolutions, one channel in: He's scale, the last a tenth."""
    # He's scale has the fan-in of a 5 x 5 kernel, 25 i. The last one is small, so that training
    # begins near equal probabilities.
    channels = [1, *[width] * (layers - 1), classes]
    scales = [1.0] * (layers - 1) + [0.1]
    return [
        scale * (2 / (25 * i)) ** 0.5 * jax.random.normal(k, (5, 5, i, o))
        for k, i, o, scale in zip(
            jax.random.split(key, layers), channels[:-1], channels[1:], scales, strict=True
        )
    ]


def apply(params: Sequence[Array], image: Float[Array, "b h w"]) -> Float[Array, "b h w c"]:
    """Logits: convolutions, each fed with features of mean 0 and deviation 1 over the image.

    Without that, the region-wise loss drives every pixel to the commonest class within a few steps
    and has no gradient left to come back.
    """
    x = image[..., None]
    for number, kernel in enumerate(params):
        x = _standardised(jax.nn.relu(x) if number else x)
        x = conv2d(x, kernel)
    return x


def _standardised(x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    x = x - jnp.mean(x, axis=(1, 2), keepdims=True)
    return x * jax.lax.rsqrt(jnp.mean(x**2, axis=(1, 2), keepdims=True) + 1e-5)


def objective(
    scene: Scene, maps: Float[Array, "h w c"], loss: Callable
) -> Callable[[Sequence[Array]], Array]:
    """The loss on the scene as a function of the network's kernels."""
    image, given = jnp.asarray(scene.image)[None], jnp.asarray(maps, jnp.float32)[None]
    return lambda params: jnp.sum(loss(apply(params, image), given))


def train(
    scene: Scene,
    maps: Float[Array, "h w c"],
    loss: Callable,
    *,
    steps: int = 150,
    watched: Sequence[int] = (0, 10, 150),
    learning_rate: float = 1e-3,
    seed: int = 0,
) -> Training:
    """Trains a small network on one scene by Adam, as the paper, and watches the gradient's signs.

    Source: Valverde and Tohka, Region-wise Loss, section 3.4 and Fig. 3.
    Departures: the paper trains a 2-D U-Net on slices of KiTS19 and ACDC17.

    Args:
        scene: image and labels.
        maps: the region-wise map that is trained on and whose signs are counted.
        loss: a function of (logits, maps) with one value per image, the region-wise loss.
        steps: updates.
        watched: steps whose whole map is kept; the state before update `step + 1`.
        learning_rate: of Adam.
        seed: of the initial weights.
    """
    # The generator that compiles fastest, as for the parameters of experiments
    key = jax.random.key(seed, impl="rbg")
    params = initial_params(key, classes=int(maps.shape[-1]))
    optimizer = optax.adam(learning_rate)
    image, truth = jnp.asarray(scene.image)[None], jnp.asarray(scene.labels)[None]
    given = jnp.asarray(maps, jnp.float32)[None]
    gradient_of = jax.grad(objective(scene, maps, loss))

    @jax.jit
    def step(params, state):
        logits = apply(params, image)
        updates, state = optimizer.update(gradient_of(params), state, params)
        count, best = negative_components(logits, given), jnp.argmax(logits, axis=-1)
        share, right = jnp.mean(count > 1), jnp.mean(best == truth)
        return optax.apply_updates(params, updates), state, (share, right, count[0], best[0])

    state, shares, accuracies, counts, predictions = optimizer.init(params), [], [], {}, {}
    # One step more than updates: the last one only looks at the final parameters
    for number in range(steps + 1):
        updated, state, (share, right, count, best) = step(params, state)
        params = updated if number < steps else params
        shares.append(float(share))
        accuracies.append(float(right))
        if number in watched:
            counts[number], predictions[number] = np.asarray(count), np.asarray(best)
    return Training(np.array(shares), np.array(accuracies), counts, predictions, params)


def training_figure(scene: Scene, trainings: Mapping[str, Training]) -> Figure:
    """The scene, its negative components at the watched steps, and their share over time (Fig. 3).

    Args:
        scene: image and labels.
        trainings: a row a training, title -> record; all watched at the same steps.
    """
    number = int(scene.labels.max()) + 1
    watched = list(next(iter(trainings.values())).counts)
    colours, norm = plotting.counts_scale(number)
    figure = Figure(
        figsize=(1.75 * (len(watched) + 1) + 3.4, 1.9 * len(trainings) + 0.3), layout="constrained"
    )
    ratios = [1.0] * (len(watched) + 1) + [1.5]
    grid = figure.subplots(len(trainings), len(ratios), width_ratios=ratios, squeeze=False)
    for index, (row, (title, training)) in enumerate(zip(grid, trainings.items(), strict=True)):
        plotting.picture(row[0], scene.image, "image, true outlines", cmap="Greys_r")
        row[0].contour(
            scene.labels, np.arange(number - 1) + 0.5, colors=plotting.TRUTH, linewidths=1
        )
        row[0].set_ylabel(title, fontsize=9)
        for axes, step in zip(row[1:-1], watched, strict=True):
            drawn = plotting.picture(
                axes, training.counts[step], f"step {step}", cmap=colours, norm=norm
            )
        axes = row[-1]
        steps = np.arange(len(training.shares))
        axes.plot(steps, training.shares, label="pixels with > 1 negative", **plotting.style_of(1))
        axes.plot(steps, training.accuracies, label="pixels right", **plotting.style_of(0))
        axes.set_ylim(-0.03, 1.03)
        axes.grid(color="0.92")
        last = index == len(trainings) - 1
        plotting.describe(axes, "", "step" if last else "", "fraction of pixels")
    grid[0, -1].legend(fontsize=7, frameon=False)
    bar = figure.colorbar(drawn, ax=grid[:, 1:-1], shrink=0.8, aspect=25, ticks=range(number))
    bar.set_label("negative gradient components", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure
