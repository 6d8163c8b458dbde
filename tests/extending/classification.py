"""Which eye a photograph shows: a task, its network and its experiment, outside the package.

Written by following "How to add" of docs/architecture.md.

Command: segjax train --config tests/extending/classification.py --workdir work/eye
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from segjax.config.arguments import parse_arg
from segjax.config.defaults import base
from segjax.config.lookup import spec
from segjax.config.sweeps import product, zipped
from segjax.data.resizing import resize_image
from segjax.metrics import statistics
from segjax.recipes.loss_terms import term
from segjax.recipes.tasks import task_options
from segjax.tasks.images import ImageTask
from segjax.tasks.metric import Metric


class EyeClassification(ImageTask):
    """Tells a right eye (1) from a left one (0); offers `logits` [b, c] and `labels` [b]."""

    offers = ("logits", "labels")
    metrics = (
        Metric("auroc", ("probability", "label"), statistics.roc_auc, title="AUROC"),
        Metric("accuracy", ("correct",), title="accuracy"),
    )
    headline = "auroc"
    scored = ("probability", "label", "correct")
    columns = ("probability", "label", "correct")
    predicted = ("probability",)

    def __init__(self, *, target: str = "eye"):
        self.target, self.fields = target, ("image", "image_id", target)

    def record(self, example, image_size):
        label = np.int32(example.get(self.target, -1))
        return {"image": resize_image(example["image"], image_size), "label": label}

    def blank(self, image_size, batch):
        return {
            "image": jax.ShapeDtypeStruct((batch, *image_size, 3), jnp.uint8),
            "label": jax.ShapeDtypeStruct((batch,), jnp.int32),
        }

    def bind(self, outputs, fields):
        return {"logits": outputs["logits"], "labels": fields["label"]}

    def predict(self, outputs):
        logits = outputs["logits"]
        single = logits.shape[-1] == 1
        odds = logits[:, 0] if single else logits[:, 1] - logits[:, 0]
        return {"probability": nn.sigmoid(odds)}

    def scores(self, predictions, fields):
        probability, label = predictions["probability"], fields["label"]
        correct = ((probability > 0.5) == (label == 1)).astype(jnp.float32)
        return {"probability": probability, "label": label.astype(jnp.float32), "correct": correct}


class TinyClassifier(nn.Module):
    """Two strided convolutions and a dense layer; `logits` [b, outputs]."""

    features: int = 4
    outputs: int = 1

    @nn.compact
    def __call__(self, image, *, train):
        for _ in range(2):
            image = nn.relu(nn.Conv(self.features, (3, 3), strides=2)(image))
        return {"logits": nn.Dense(self.outputs)(image.reshape(image.shape[0], -1))}


def get_config(arg=None):
    args = parse_arg(arg, outputs=1)
    config = base()
    config.task = "classification:EyeClassification"
    config.task_options = task_options(config.task)
    config.model = spec("models", "classification:TinyClassifier", outputs=args["outputs"])
    config.loss.cross_entropy = term("cross_entropy")
    config.data.name, config.data.image_size = "synthetic_fundus/small", (32, 32)
    config.optimizer = spec("optimizers", "adamw", learning_rate=3e-3)
    config.schedule = spec("schedules", "constant")
    config.train.steps = 300
    config.evaluate.best, config.evaluate.best_mode = "auroc", "max"
    return config


def sweep():
    return product(zipped(optimizer__learning_rate=[3e-3, 1e-4]), seed=[0, 1])
