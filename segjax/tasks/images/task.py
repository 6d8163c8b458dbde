"""The part of a task that all tasks on photographs share. A task of one's own derives from it."""

import abc
import functools
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from segjax.data.augment import default_strengths
from segjax.data.pipeline import Chosen, Records, Resident, Streamed
from segjax.errors import UserError
from segjax.tasks.base import Devices, Experiment, Fields, Source, check_fields
from segjax.tasks.images.evaluation import ImageEvaluator
from segjax.tasks.images.prediction import ImagePredictor
from segjax.tasks.metric import Columns, Metric
from segjax.types import Array, Float

# Among the fields of a case that is drawn: the example of the data set.
STORED = "stored"


class ImageTask(abc.ABC):
    """A task whose examples are RGB photographs, resized to one size (`base.Task`).

    A task of this kind says what a record holds (`record`, `blank`), how it is augmented
    (`augmented`), which arrays losses take (`bind`), what the outputs mean (`predict`), and the
    columns of its table: those computed inside the compiled step (`scores`), and those that are
    made on the host for a final table (`rows`). The rest has defaults.
    """

    fields: Sequence[str] = ("image", "image_id")
    offers: Sequence[str] = ("logits", "labels")
    channels = 3
    classes: Sequence[str] = ()
    metrics: Sequence[Metric] = ()
    headline = ""
    scored: Sequence[str] = ()
    columns: Sequence[str] = ()
    explained: Mapping[str, str] = MappingProxyType({})
    # Columns that are known of a photograph without annotation.
    predicted: Sequence[str] = ()
    # Folders of the pictures that `write_pictures` may write, NAME.png in each.
    pictures: Sequence[str] = ()
    # What it finds, where annotators may be proposed that, as of a finding.
    proposes: str | None = None

    # --- what a task has to say ----------------------------------------------------------------

    @abc.abstractmethod
    def record(self, example: Mapping, image_size: tuple[int, int]) -> dict[str, np.ndarray]:
        """One example at the working size, `image` uint8 among its fields.

        Of a photograph without annotation the example has `image` alone: the other fields of the
        record are then blank.
        """

    @abc.abstractmethod
    def blank(self, image_size: tuple[int, int], batch: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and types of a batch of records, for building everything shape-only."""

    @abc.abstractmethod
    def bind(self, outputs: Fields, fields: Fields) -> dict[str, Array]:
        """The named arrays that losses take."""

    @abc.abstractmethod
    def predict(self, outputs: Fields) -> dict[str, Array]:
        """Predictions from what the model returns."""

    @abc.abstractmethod
    def scores(self, predictions: Fields, fields: Fields) -> dict[str, Array]:
        """The columns of `scored`, one value an image, `[b]`."""

    def rows(self, predictions: Mapping, fields: Mapping) -> dict[str, np.ndarray]:
        """Further columns of a final table, made on the host, `[n]` each."""
        return {}

    def judged(
        self, predictions: Mapping, examples: Iterable[Mapping], answer: Any
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Columns of a final table that take the photographs as they are stored, `[n]` each.

        They take the place of those of `scores` and `rows`, which are of the working size; the
        second ones of those of `baseline_scores`.

        Args:
            predictions: of the step, on the host.
            examples: of the data set, read as they are asked for.
            answer: what the baseline learned; None where it is not asked for.
        """
        return {}, {}

    def augmented(self, keys: Array, fields: Fields, strengths: Mapping[str, float]) -> dict:
        """The fields of a batch, augmented, each example with its own key."""
        return dict(fields)

    def baseline(self, source: Callable[[], Resident | Streamed]) -> Any:
        """What a predictor without a model learns from the training split: JSON, or None."""
        return None

    def baseline_scores(self, answer: Any, fields: Mapping) -> dict[str, np.ndarray]:
        """The columns of the baseline that metrics are made of."""
        return {}

    def write_pictures(
        self,
        folder: pathlib.Path,
        name: str,
        image: np.ndarray,
        row: Mapping[str, float],
        prediction: Mapping,
    ) -> None:
        """Pictures of the prediction for one photograph, NAME.png in some of `pictures`.

        Written by `segjax.data.png.write_png`, whose mark tells a later `predict` that it may
        replace them.
        """
        return

    def case_figures(
        self, open_case: Callable, columns: Columns, names: Sequence[str]
    ) -> dict[str, Any]:
        """Figures by name. `open_case(i)` gives image i, its fields, and the model's outputs.

        Among the fields is the example as it is stored, as `STORED`.
        """
        return {}

    # --- what all share ------------------------------------------------------------------------

    def check_features(self, features: Mapping[str, Any], where: str) -> None:
        """UserError unless the data set has the fields, and records are as `blank` says."""
        check_fields(self.fields, features, where)
        self._check_bare()

    def _check_bare(self) -> None:
        """UserError unless a photograph without annotation, as of `predict`, makes a record."""
        size, name = (16, 16), type(self).__name__
        try:
            record = self.record({"image": np.zeros((*size, self.channels), np.uint8)}, size)
        except (LookupError, TypeError) as error:
            raise UserError(
                f"task {name}: `record` fails on a photograph without annotation, of `image` "
                f"alone: {type(error).__name__}: {error}"
            ) from error
        wanted = {field: leaf.shape[1:] for field, leaf in self.blank(size, 1).items()}
        found = {field: np.shape(value) for field, value in record.items()}
        if found != wanted:
            raise UserError(
                f"task {name}: `record` gives {_shapes(found)} of an image of {size[0]} pixels, "
                f"`blank` says {_shapes(wanted)}"
            )

    def check_place(self, experiment: Experiment) -> None:
        """Photographs are read as they are stored: nothing is kept beside them."""
        return

    @classmethod
    def augmentations(cls) -> dict[str, float]:
        """The augmentations that a config may switch on; none where `augmented` does nothing."""
        return {} if cls.augmented is ImageTask.augmented else default_strengths()

    def epoch_examples(self, examples: int, batch_size: int) -> int:
        """An epoch is every example once."""
        return examples

    def validation_values(self, losses: Callable[[], Iterable[str]]) -> Sequence[str]:
        """The loss, its terms, and the metrics of the columns that the step computes."""
        given = dict.fromkeys(self.scored)
        return [*losses(), *(metric.name for metric in self.metrics if metric.given(given))]

    def inputs(self, fields: Fields) -> Float[Array, "b h w c"]:
        """What the model sees: intensities in [0, 1]."""
        # Here, inside the step: photographs lie on the device as uint8, a quarter of float32
        return fields["image"].astype(jnp.float32) / 255.0

    def evaluated(self, apply_fn: Callable[[Array], Fields], fields: Fields) -> Fields:
        """What the model gives for whole photographs, which it takes in one piece."""
        return apply_fn(self.inputs(fields))

    def scales(self, outputs: Fields, fields: Fields) -> Sequence[tuple[float, Fields]]:
        """(weight, named arrays) of each resolution at which losses are taken: one."""
        return ((1.0, self.bind(outputs, fields)),)

    def kept(self, experiment: Experiment, split: str) -> Sequence[int] | None:
        """Which examples of a split count, by their place in it; None for all.

        An epoch is counted by all of them.
        """
        return None

    def opened(self, experiment: Experiment, split: str) -> Sequence[Mapping]:
        """The examples of a split that count, as they are stored."""
        source = experiment.data.open(split, self.fields)
        kept = self.kept(experiment, split)
        return source if kept is None else Chosen(source, kept)

    def names(self, experiment: Experiment, split: str) -> Sequence[str]:
        """The names of the examples that count."""
        names, kept = experiment.data.names(split), self.kept(experiment, split)
        return names if kept is None else [names[index] for index in kept]

    def records(self, experiment: Experiment, split: str) -> Records:
        """The examples of a split that count, at the working size."""
        size = experiment.config.data.image_size
        source = self.opened(experiment, split)
        return Records(source, lambda example: self.record(example, size))

    def source(self, experiment: Experiment, split: str = "train") -> Source:
        """Batches to train on: those of `stored`, unless a task draws them in its own way."""
        return self.stored(experiment, split)

    def stored(self, experiment: Experiment, split: str) -> Resident | Streamed:
        """A split as it lies: on the device if it fits and the config lets it, else streamed."""
        records, section = self.records(experiment, split), experiment.config.data
        fits = records.megabytes() <= section.resident_megabytes
        if section.resident == "yes" or (section.resident == "auto" and fits):
            return Resident(records, label=split)
        return Streamed(records)

    def evaluator(self, experiment: Experiment, split: str, devices: Devices) -> ImageEvaluator:
        """Evaluates states on a split, which is read once."""
        return ImageEvaluator(experiment, split, devices)

    def proposed_map(
        self, image: np.ndarray, predicted: Mapping, shape: tuple[int, int]
    ) -> np.ndarray | None:
        """Where a photograph shows what `proposes` names: `[h, w]` in 0 to 1; None for no map."""
        return None

    def predictor(self) -> ImagePredictor:
        """Predicts a user's photographs."""
        return ImagePredictor(self)

    def probe(self, experiment: Experiment, split: str, examples: int) -> Fields:
        """The fields of the first examples of a split."""
        records = self.records(experiment, split)
        rows = [records[index] for index in range(min(examples, len(records)))]
        return {name: jnp.stack([row[name] for row in rows]) for name in rows[0]}

    def figures(
        self,
        experiment: Experiment,
        state: Any,
        split: str,
        columns: Columns,
        names: Sequence[str],
        devices: Devices,
    ) -> Mapping[str, Any]:
        """Pictures of single cases, from the photographs as they are stored."""
        return self.case_figures(self.opener(experiment, state, split), columns, names)

    def opener(self, experiment: Experiment, state: Any, split: str) -> Callable:
        """The function that gives `case_figures` a case of a split."""
        source = self.opened(experiment, split)
        size = experiment.config.data.image_size
        model, variables = experiment.model, jax.device_get(state.variables)
        apply_fn = functools.partial(model.apply, variables, train=False)
        # Compiled once for all cases, which have one working size
        apply = jax.jit(lambda image: self.evaluated(apply_fn, {"image": image}))

        def open_case(index: int):
            example = source[int(index)]
            fields = {name: array[None] for name, array in self.record(example, size).items()}
            return example["image"], fields | {STORED: example}, apply(fields["image"])

        return open_case


def _shapes(fields: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in fields.items())
