"""What two stages do on a few synthetic photographs, in memory: small networks, by hand."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from segjax import losses
from segjax.data.patches.centres import centres
from segjax.data.patches.photographs import Photograph, Recipe
from segjax.data.patches.sampling import PatchSampler, inside
from segjax.data.patches.source import cut_on_host, to_float
from segjax.data.resizing import resize_mask
from segjax.data.synthetic.fundus import generate_fundus
from segjax.models import PatchResNet, PlainUNet
from segjax.tasks.lesions import metrics, pictures
from segjax.types import Array

PATCH = (33, 33)
REFINING = PatchResNet(width=4, stages=(1, 1, 1), omitted="pool")
PROPOSING = PlainUNet(
    features=(8, 16, 32), strides=((1, 1), (2, 2), (2, 2)), kernels=((3, 3),) * 3, classes=2
)
SHOWN = 8


def photographs(seeds: Sequence[int], *, size: int = 384, scale: float = 1.0) -> list[Photograph]:
    """Synthetic photographs, enhanced, with their microaneurysms; those of grade 0 are healthy.

    Args:
        seeds: one an eye.
        size: height and width before the scale.
        scale: of the network that takes them.
    """
    recipe, made = Recipe(scale=scale, sigma=size / 30), []
    for seed in seeds:
        eye = generate_fundus(seed, size)
        lesions = eye["microaneurysms"][..., 0] > 0
        small = recipe.size(lesions.shape)
        made.append(
            Photograph(
                name=eye["image_id"],
                image=recipe.apply(eye["image"]),
                labels=resize_mask(lesions, small).astype(np.uint8),
                field=resize_mask(eye["field_of_view"][..., 0] > 0, small).astype(np.uint8),
                stored_labels=lesions.astype(np.uint8),
                is_healthy=eye["grade"] == 0,
            )
        )
    return made


def patches_of(given: Sequence[Photograph], photograph, centre, size=PATCH) -> np.ndarray:
    """The patches around some pixels, uint8 `[n, h, w, 3]`."""
    pairs = zip(photograph, centre, strict=True)
    return np.stack([cut_on_host(given[i], ("image",), c, size)["image"] for i, c in pairs])


@dataclass
class Refinement:
    """A trained network of patches.

    Attributes:
        score: patches `[n, h, w, 3]` uint8 -> probabilities `[n]` and embeddings `[n, d]`.
        before: the same, of the network before training.
        drawn: by step at which candidates were scored, the healthy patches drawn next and their
            probabilities.
    """

    score: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    before: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    drawn: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)


def train_refinement(
    given: Sequence[Photograph],
    *,
    triplets: bool,
    steps: int = 90,
    period: int = 30,
    batch: int = 12,
    pool: int = 400,
    seed: int = 0,
) -> Refinement:
    """Trains a narrow `PatchResNet` with selective sampling, with the loss of triplets or without.

    Args:
        given: what to train on.
        triplets: whether the embedding is trained, too.
        steps: of AdamW with a cosine.
        period: steps between two scorings.
        batch: triplets a step.
        pool: healthy candidates that are scored.
        seed: of weights and draws.
    """
    variables = _fresh(REFINING, seed, PATCH)
    optimizer = optax.adamw(optax.cosine_decay_schedule(3e-3, steps))
    step = _step_of_triplets(optimizer, batch, triplets)

    def score(variables, photograph, centre):
        return _in_batches(variables, patches_of(given, photograph, centre))[0]

    sampler = PatchSampler(
        centres(p.labels * (not p.is_healthy) for p in given),
        centres((p.field * p.is_healthy for p in given), most=2000),
        period=period,
        pool=pool,
        score=score,
    )
    params, stats = variables["params"], variables["batch_stats"]
    made = Refinement(score=None, before=functools.partial(_in_batches, variables))
    state = optimizer.init(params)
    for number in range(steps):
        now = {"params": params, "batch_stats": stats}
        if sampler.is_due(number):
            sampler.rescore(seed, number, now)
        lesions, healthy = sampler.draw(seed, number, 2 * batch, batch)
        parts = [
            patches_of(given, lesions.photograph, lesions.centre),
            patches_of(given, healthy.photograph, healthy.centre),
        ]
        if number % period == 0:
            made.drawn[number] = parts[1], _in_batches(now, parts[1])[0]
        params, stats, state = step(params, stats, state, np.concatenate(parts))
    made.score = functools.partial(_in_batches, {"params": params, "batch_stats": stats})
    return made


def judge_of(trained: Refinement, photograph: Photograph) -> Callable[[np.ndarray], np.ndarray]:
    """A function from pixels `[n, 2]` of a photograph to their probabilities."""

    def judge(pixels: np.ndarray) -> np.ndarray:
        patches = patches_of([photograph], np.zeros(len(pixels), int), pixels)
        return trained.score(patches)[0]

    return judge


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _fresh(model, seed: int, patch: tuple[int, int]):
    """The variables of a network before training."""
    return model.init(jax.random.key(seed, impl="rbg"), jnp.zeros((1, *patch, 3)), train=False)


@jax.jit
def _judged(variables, patches):
    """The probability of a lesion, and the embedding, of some patches."""
    outputs = REFINING.apply(variables, to_float(patches), train=False)
    return jax.nn.softmax(outputs["logits"])[:, 1], outputs["embedding"]


def _step_of_triplets(optimizer, batch: int, triplets: bool) -> Callable:
    """`step(params, stats, state, patches) -> (params, stats, state)`, compiled."""

    def objective(params, stats, patches):
        outputs, changed = REFINING.apply(
            {"params": params, "batch_stats": stats},
            to_float(patches.reshape(-1, *PATCH, 3)),
            train=True,
            mutable=["batch_stats"],
        )
        logits = outputs["logits"].reshape(3, batch, 2)
        labels = jnp.array([1, 0], jnp.int32)[:, None] * jnp.ones((1, batch), jnp.int32)
        value = jnp.mean(losses.cross_entropy(logits[jnp.array([0, 2])], labels))
        if triplets:
            value += jnp.mean(losses.triplet(*outputs["embedding"].reshape(3, batch, -1)))
        return value, changed["batch_stats"]

    @jax.jit
    def step(params, stats, state, patches):
        grads, stats = jax.grad(objective, has_aux=True)(params, stats, patches)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), stats, state

    return step


def train_proposal(
    given: Sequence[Photograph], *, steps: int = 80, batch: int = 8, side: int = 64, seed: int = 0
) -> Callable[[np.ndarray], np.ndarray]:
    """Trains a small U-Net on patches; gives a function from a photograph to its map.

    Args:
        given: what to train on.
        steps: of AdamW with a cosine.
        batch: patches a step, half of them around lesions.
        side: of a patch.
        seed: of weights and draws.
    """
    patch = (side, side)
    params = _fresh(PROPOSING, seed, patch)["params"]
    optimizer, step = _step_of_proposals(steps)
    sampler = PatchSampler(
        centres(p.labels * (not p.is_healthy) for p in given),
        centres((p.field * p.is_healthy for p in given), most=2000),
    )
    state, sizes = optimizer.init(params), [p.labels.shape for p in given]
    for number in range(steps):
        cut = []
        for choice in sampler.draw(seed, number, batch // 2, batch // 2):
            moved = inside(choice, sizes, patch)
            cut += [
                cut_on_host(given[i], ("image", "labels"), centre, patch)
                for i, centre in zip(moved.photograph, moved.centre, strict=True)
            ]
        image, labels = (np.stack([part[name] for part in cut]) for name in ("image", "labels"))
        params, state = step(params, state, image, labels.astype(np.int32))

    return lambda image: np.asarray(_proposed(params, image))


@functools.cache  # both scales share one program
def _step_of_proposals(steps: int) -> tuple[optax.GradientTransformation, Callable]:
    """The optimiser, and `step(params, state, image, labels) -> (params, state)`, compiled."""
    optimizer = optax.adamw(optax.cosine_decay_schedule(3e-3, steps))

    def objective(params, image, labels):
        logits = PROPOSING.apply({"params": params}, to_float(image), train=True)["logits"]
        entropy = losses.cross_entropy(logits, labels, class_weights=(1.0, 10.0))
        dice = losses.dice(
            logits, labels, squared=True, include_background=False, over="batch", smooth=1.0
        )
        return jnp.mean(entropy) + jnp.mean(dice)

    @jax.jit
    def step(params, state, image, labels):
        grads = jax.grad(objective)(params, image, labels)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    return optimizer, step


@jax.jit
def _proposed(params, image):
    """The probability of a lesion at each pixel of a photograph."""
    logits = PROPOSING.apply({"params": params}, to_float(image[None]), train=False)["logits"]
    return jax.nn.softmax(logits)[0, ..., 1]


def _in_batches(variables, patches: np.ndarray, size: int = 200):
    """What the refinement gives for any number of patches, compiled for one shape."""
    found = []
    for start in range(0, len(patches), size):
        part = patches[start : start + size]
        wide = np.pad(part, [(0, size - len(part)), *[(0, 0)] * 3])
        found.append([np.asarray(x)[: len(part)] for x in _judged(variables, wide)])
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))


# --- figures --------------------------------------------------------------------------------------


def scales_figure(whole: Photograph, half: Photograph, side: int = 65) -> Figure:
    """Patches of one size around one lesion, at both scales."""
    rows, columns = np.nonzero(whole.labels)
    middle = len(rows) // 2
    centre = np.array([rows[middle], columns[middle]])
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    for axes, (title, photograph, place) in zip(
        figure.subplots(1, 2),
        (("scale 1", whole, centre), ("scale 0.5", half, centre // 2)),
        strict=True,
    ):
        cut = cut_on_host(photograph, ("image", "labels"), place, (side, side))
        axes.imshow(cut["image"])
        if cut["labels"].any():
            axes.contour(cut["labels"], [0.5], colors="cyan", linewidths=1)
        axes.set_title(title)
        axes.set_axis_off()
    return figure


def drawn_figure(trained: Refinement) -> Figure:
    """Healthy patches drawn in each period, those of the highest probability first."""
    figure = Figure(figsize=(9, 1.5 * len(trained.drawn)), layout="constrained")
    grid = figure.subplots(len(trained.drawn), SHOWN, squeeze=False)
    for line, (step, (patches, scores)) in zip(grid, trained.drawn.items(), strict=True):
        for axes, index in zip(line, np.argsort(-scores)[:SHOWN], strict=True):
            axes.imshow(patches[index])
            axes.set_title(f"{scores[index]:.2f}", fontsize=8)
            axes.set(xticks=[], yticks=[])
        line[0].set_ylabel(f"step {step}", fontsize=9)
    return figure


def embedding_figure(
    named: Mapping[str, Callable], lesions: np.ndarray, healthy: np.ndarray
) -> Figure:
    """The embeddings of patches along their first two principal components, a panel a network.

    Args:
        named: by title, what scores patches.
        lesions, healthy: patches of the two kinds.
    """
    figure = Figure(figsize=(3.4 * len(named), 3.4), layout="constrained")
    for axes, (title, score) in zip(
        figure.subplots(1, len(named), squeeze=False)[0], named.items(), strict=True
    ):
        found = score(np.concatenate([lesions, healthy]))[1]
        # On the unit sphere, where angles are distances
        found = found / np.maximum(np.linalg.norm(found, axis=-1, keepdims=True), 1e-12)
        found = found - found.mean(axis=0)
        _, _, directions = np.linalg.svd(found, full_matrices=False)
        flat = found @ directions[:2].T
        split = len(lesions)
        axes.scatter(*flat[split:].T, s=6, color="tab:blue", alpha=0.6, label="healthy")
        axes.scatter(*flat[:split].T, s=6, color="tab:red", alpha=0.6, label="lesion")
        axes.set_title(title, fontsize=10)
        axes.set(xticks=[], yticks=[])
    figure.axes[0].legend(fontsize=8)
    return figure


def angles(score: Callable, lesions: np.ndarray, healthy: np.ndarray) -> tuple[float, float]:
    """Mean angular distance of two lesion patches, and of a lesion and a healthy one."""

    def unit(patches: np.ndarray) -> np.ndarray:
        found = score(patches)[1]
        return found / np.maximum(np.linalg.norm(found, axis=-1, keepdims=True), 1e-12)

    one, other = unit(lesions), unit(healthy)
    apart = [np.arccos(np.clip(one @ x.T, -1, 1)) / np.pi for x in (one, other)]
    pairs = ~np.eye(len(one), dtype=bool)
    return float(apart[0][pairs].mean()), float(apart[1].mean())


def curves_figure(maps: Mapping[str, Sequence[Array]], given: Sequence[Photograph]) -> Figure:
    """Precision and recall of several maps of photographs, pixels pooled."""
    from segjax.metrics import score_histogram

    tables = {
        name: metrics.columns_of_rows(
            [
                metrics.pixel_columns(score_histogram(each, photograph.stored_labels))
                for each, photograph in zip(found, given, strict=True)
            ]
        )
        for name, found in maps.items()
    }
    return pictures.curve_figure(tables)
