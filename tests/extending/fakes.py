"""The bare protocols, one of each, outside the package: none derives from a class of segjax."""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from segjax.data import order
from segjax.data.images import read_image
from segjax.data.resizing import resize_image
from segjax.launch import job
from segjax.launch.engines.local import command_of
from segjax.launch.flags import Flag
from segjax.tasks.base import Evaluation
from segjax.tasks.metric import Metric
from segjax.train.sweepdir import folder_of

# What a test looks at: the batches that were drawn, by (seed, step), and the step to end at.
DRAWN: dict[tuple[int, int], list[int]] = {}
ENDING: dict = {}


def squared_error(predicted, true):
    """(predicted - true)^2 of each photograph."""
    return (predicted - true) ** 2


def correlation(left, right):
    """Pearson's correlation over the cases, the last axis; nan where a column is constant."""
    a, b = (x - np.mean(x, axis=-1, keepdims=True) for x in (left, right))
    size = np.sqrt(np.sum(a**2, axis=-1) * np.sum(b**2, axis=-1))
    return np.where(size > 0, np.sum(a * b, axis=-1) / np.where(size > 0, size, 1), np.nan)


class Regressor(nn.Module):
    """Mean colour through a dense layer; `logits` [b, 1]."""

    @nn.compact
    def __call__(self, image, *, train):
        return {"logits": nn.Dense(1)(jnp.mean(image, axis=(1, 2)))}


def read(experiment, split):
    """All photographs of a split at the working size, and their mean intensity."""
    stored = experiment.data.open(split, ("image",))
    size = experiment.config.data.image_size
    images = np.stack([resize_image(stored[i]["image"], size) for i in range(len(stored))])
    return {"image": images, "true": images.mean(axis=(1, 2, 3), dtype=np.float32) / 255}


class FocusedSource:
    """Every batch begins with the examples that the weights of the network pointed to lately."""

    def __init__(self, fields):
        self.arrays, self.examples = fields, len(fields["true"])
        self.focus: list[int] = []

    def train_batches(self, seed, start, batch_size, rows):
        step, slots = start, np.arange(batch_size, dtype=np.int32)
        while True:
            if ENDING.get("step") == step:
                ENDING.pop("step")
                ENDING.pop("how")()
            drawn = order.batch_indices(seed, step, batch_size, self.examples)
            index = np.array([*self.focus[-3:], *drawn], np.int32)[:batch_size]
            DRAWN[seed, step] = index.tolist()
            weight = np.ones(batch_size, np.float32)
            yield {"index": index[rows], "slot": slots[rows], "weight": weight[rows]}
            step += 1

    def before_step(self, step, state):
        assert int(state.step) == step
        if step % 3 == 1:
            kernel = np.abs(jax.device_get(state.params["Dense_0"]["kernel"])).ravel()
            self.focus.append(int(np.argmax(kernel)) + 3 * (step // 3))

    def remembered(self):
        return {"focus": self.focus}

    def remember(self, content):
        self.focus = list(content["focus"])


class Evaluator:
    """The table of a split, without the compiled evaluation step."""

    def __init__(self, experiment, split):
        self.fields, self.experiment = read(experiment, split), experiment
        self.split, task, model = split, experiment.task, experiment.model
        self.apply = jax.jit(
            lambda variables, fields: task.predict(
                model.apply(variables, task.inputs(fields), train=False)
            )
        )

    def __call__(self, state, *, final=False, baseline=None, stop=lambda: False):
        if stop():
            return None
        found = self.apply(jax.device_get(state.variables), self.fields)
        columns = {"predicted": np.asarray(found["predicted"]), "true": self.fields["true"]}
        columns["error"] = np.abs(columns["predicted"] - columns["true"])
        other = None
        if baseline is not None:
            constant = np.full_like(columns["true"], baseline)
            other = {"predicted": constant, "error": np.abs(constant - columns["true"])}
        return Evaluation(columns, self.experiment.data.names(self.split), {}, other)


class Predictor:
    """A row for each file; its picture is a text."""

    kind, suffixes, columns, spread = "photograph", (".png",), ("predicted",), False

    def cases(self, files):
        return {path.stem: (path,) for path in files}

    def outputs(self, name):
        return []

    def check(self, files):
        read_image(files[0])

    def load(self, experiment, state, devices):
        task, model, variables = experiment.task, experiment.model, jax.device_get(state.variables)
        self.size = experiment.config.data.image_size
        self.apply = lambda fields: task.predict(
            model.apply(variables, task.inputs(fields), train=False)
        )

    def predict(self, name, files, output):
        image = resize_image(read_image(files[0]), self.size)
        return [float(self.apply({"image": image[None]})["predicted"][0])]


class Brightness:
    """Predicts the mean intensity of a photograph."""

    fields = ("image", "image_id")
    offers = ("predicted", "true")
    channels = 3
    classes = ()
    metrics = (
        Metric("correlation", ("predicted", "true"), correlation),
        Metric("error", ("error",), higher_is_better=False),
    )
    headline = "correlation"
    scored = ("predicted", "true", "error")
    columns = scored

    def check_features(self, features, where):
        assert "image" in features

    def check_place(self, experiment):
        pass

    def augmentations(self):
        return {}

    def epoch_examples(self, examples, batch_size):
        return examples

    def validation_values(self, losses):
        return [metric.name for metric in self.metrics]

    def blank(self, image_size, batch):
        return {
            "image": jax.ShapeDtypeStruct((batch, *image_size, 3), jnp.uint8),
            "true": jax.ShapeDtypeStruct((batch,), jnp.float32),
        }

    def inputs(self, fields):
        return fields["image"].astype(jnp.float32) / 255

    def augmented(self, keys, fields, strengths: Mapping):
        return dict(fields)

    def evaluated(self, apply_fn, fields):
        return apply_fn(self.inputs(fields))

    def bind(self, outputs, fields):
        return {**self.predict(outputs), "true": fields["true"]}

    def scales(self, outputs, fields):
        return [(1.0, self.bind(outputs, fields))]

    def predict(self, outputs):
        return {"predicted": outputs["logits"][:, 0]}

    def scores(self, predictions, fields):
        error = jnp.abs(predictions["predicted"] - fields["true"])
        return {"predicted": predictions["predicted"], "true": fields["true"], "error": error}

    def source(self, experiment, split="train"):
        return FocusedSource(read(experiment, split))

    def baseline(self, source):
        return float(np.mean(source().arrays["true"]))

    def evaluator(self, experiment, split, devices):
        return Evaluator(experiment, split)

    def predictor(self):
        return Predictor()

    def probe(self, experiment, split, examples):
        return {name: array[:examples] for name, array in read(experiment, split).items()}

    def figures(self, experiment, state, split, columns, names, devices):
        return {}


class Engine:
    """Writes the commands of a sweep into a file, and runs nothing."""

    flags = {"note": Flag("", "the first line of the file")}

    def __init__(self, *, note=None):
        self.note = note or "no note"

    def check(self, configs):
        pass

    def run(self, sweep):
        lines = [
            " ".join(command_of(sweep.text, point, sweep.extra, folder_of(sweep.workdir, point)))
            for point in sweep.progress.missing
        ]
        (sweep.workdir / "commands.txt").write_text("\n".join([self.note, *lines, ""]))
        return False


class Here:
    """Trains the points one after the other in this process."""

    flags: Mapping = {}

    def check(self, configs):
        pass

    def run(self, sweep):
        for point, config in zip(sweep.points, sweep.configs, strict=True):
            if point in sweep.progress.missing:
                sweep.progress.begins(point)
                job.train(config, folder_of(sweep.workdir, point))
                sweep.progress.ended(point)
        return True
