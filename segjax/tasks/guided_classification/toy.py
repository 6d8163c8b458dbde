"""What guidance does to an activation map: trainings on a few synthetic photographs, in memory."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from segjax import losses
from segjax.data.synthetic.findings import generate_findings
from segjax.metrics import statistics
from segjax.models import GuidedClassifier
from segjax.tasks.guided_classification import cells, pictures
from segjax.tasks.guided_classification.task import GuidedClassification
from segjax.types import Array, Float


@dataclass(frozen=True)
class Photographs:
    """Synthetic photographs at one size, with a finding's label and regions.

    Args:
        images: uint8 `[n, h, w, 3]`.
        labels: 0 or 1, `[n]`.
        regions: bool `[n, h, w]`, the marked ones.
    """

    images: np.ndarray
    labels: np.ndarray
    regions: np.ndarray


def photographs(finding: str, seeds: Sequence[int], *, size: int = 64) -> Photographs:
    """The photographs of some seeds, as the task reads them.

    Args:
        finding: of `data/synthetic/findings.py`.
        seeds: one an eye.
        size: height and width.
    """
    task = GuidedClassification(finding=finding)
    examples = (generate_findings(seed, size) for seed in seeds)
    records = [task.record(example, (size, size)) for example in examples]
    columns = {name: np.stack([record[name] for record in records]) for name in records[0]}
    return Photographs(columns["image"], columns["label"], columns["region"])


@dataclass(frozen=True)
class Trained:
    """A network with its weights.

    Args:
        predict: images `[n, h, w, 3]` -> `probability` [n] and `activation` [n, k, l].
        curve: the loss of every step.
    """

    predict: Callable[[np.ndarray], dict[str, np.ndarray]]
    curve: np.ndarray


def train(
    given: Photographs,
    guidance: float,
    *,
    steps: int = 200,
    batch_size: int = 16,
    learning_rate: float = 1e-2,
    seed: int = 0,
) -> Trained:
    """Trains a narrow `GuidedClassifier` by cross entropy and guidance with a weight.

    Args:
        given: what to train on.
        guidance: the weight; 0 for none.
        steps: of AdamW with a cosine.
        batch_size: photographs a step, drawn with replacement.
        learning_rate: the highest.
        seed: of the weights and of the draws.
    """
    task = GuidedClassification()
    model = GuidedClassifier(rates=(1, 2, 4), features=(8, 16, 32), branch=32)
    optimizer = optax.adamw(optax.cosine_decay_schedule(learning_rate, steps))
    fields = {"image": given.images, "label": given.labels, "region": given.regions}
    one = task.inputs({"image": given.images[:1]})
    init = jax.jit(functools.partial(model.init, train=False))
    variables = init(jax.random.key(seed, impl="rbg"), one)
    params, stats = variables["params"], {"batch_stats": variables["batch_stats"]}

    def objective(params, stats, batch):
        outputs, changed = model.apply(
            {"params": params, **stats}, task.inputs(batch), train=True, mutable=["batch_stats"]
        )
        named = task.bind(outputs, batch)
        value = jnp.mean(losses.cross_entropy(named["logits"], named["labels"]))
        outside = losses.guidance(named["activation_logits"], named["region"])
        return value + guidance * jnp.mean(outside), changed

    @jax.jit
    def step(params, stats, state, batch):
        (value, stats), gradient = jax.value_and_grad(objective, has_aux=True)(params, stats, batch)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), stats, state, value

    state, curve, draws = optimizer.init(params), [], np.random.default_rng(seed)
    for _ in range(steps):
        chosen = draws.integers(0, len(given.labels), batch_size)
        batch = {name: array[chosen] for name, array in fields.items()}
        params, stats, state, value = step(params, stats, state, batch)
        curve.append(float(value))

    @jax.jit
    def predict(images: Array) -> dict[str, Float[Array, "..."]]:
        apply_fn = functools.partial(model.apply, {"params": params, **stats}, train=False)
        return task.predict(apply_fn(task.inputs({"image": images})))

    return Trained(lambda images: jax.device_get(predict(images)), np.array(curve))


def measured(trained: Trained, given: Photographs) -> dict[str, float]:
    """AUROC, mean AIR of the photographs with the finding, and that of a flat map."""
    found = trained.predict(given.images)
    region = given.regions.astype(np.float32)
    shares = cells.activation_shares(
        found["activation"], cells.shares(region, found["activation"].shape[1:])
    )
    positive = given.labels == 1
    return {
        "AUROC": float(statistics.roc_auc(found["probability"], given.labels)),
        "AIR": float(shares["air"][positive].mean()),
        "AIR by chance": float(shares["air_chance"][positive].mean()),
    }


def compared(trained: dict[str, Trained], given: Photographs, *, count: int = 3) -> Figure:
    """Photograph, regions and the map of each training, of some photographs with the finding."""
    chosen = np.flatnonzero(given.labels == 1)[:count]
    found = {name: each.predict(given.images[chosen]) for name, each in trained.items()}
    rows = []
    for place, index in enumerate(chosen):
        probabilities = (each["probability"][place] for each in found.values())
        title = "probability " + ", ".join(f"{p:.2f}" for p in probabilities)
        maps = [each["activation"][place] for each in found.values()]
        rows.append((title, given.images[index], given.regions[index], *maps))
    return pictures.cases_figure(rows, list(found))


def gradient_figure(*, epsilon: float = 1e-3) -> Figure:
    """The three forms of the guidance loss of one cell outside the region, and their gradients."""
    logits = jnp.linspace(-10, 10, 401)
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    outside = jnp.zeros((401, 1, 1), bool)
    for form in ("log", "shifted", "complement"):
        loss = functools.partial(losses.guidance, region=outside, form=form, epsilon=epsilon)
        values = loss(logits[:, None, None])
        slopes = jax.grad(lambda z, loss=loss: jnp.sum(loss(z[:, None, None])))(logits)
        left.plot(logits, values, label=form)
        right.plot(logits, slopes, label=form, linestyle="--" if form == "shifted" else "-")
    for axes, title in ((left, "loss"), (right, "gradient")):
        axes.set_title(title)
        axes.set_xlabel("activation logit of the cell")
    left.legend()
    return figure
