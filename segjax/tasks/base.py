"""The protocols of a task: what the program asks of it, and what it hands to it.

A task is a class in a folder of `segjax/tasks/`, or anywhere as `package.module:Class`. It says
which fields of a data set it reads, turns them into batches and named arrays for losses inside the
compiled step, and hands out what works outside: the source of its batches, its evaluator, its
predictor, its tables and pictures. Nothing outside `segjax/tasks/` asks which task it has.

Most tasks take images; `tasks/images/task.py: ImageTask` has all that they share.
"""

import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import jax
import numpy as np

from segjax.checks import nearest
from segjax.data.dataset import Dataset
from segjax.data.pipeline import gather
from segjax.errors import UserError
from segjax.tasks.metric import Columns, Metric, values_of
from segjax.types import Array

Fields = Mapping[str, Array]
Sums = Mapping[str, tuple[Array, Array]]  # (sum, count) by name


class Devices(Protocol):
    """How a step runs on several devices (`train/parallel.py`)."""

    whole: Any  # the sharding of what every device has
    axis_name: str | None

    def replicate(self, tree: Any) -> Any: ...
    def place(self, batch: Mapping[str, np.ndarray]) -> dict: ...
    def compile_evaluate(self, step: Callable) -> Callable: ...
    def local(self, batch_size: int, path: str) -> "Devices": ...
    def local_rows(self, array: jax.Array) -> np.ndarray: ...


class Experiment(Protocol):
    """What a task may use of an experiment (`train/experiment.py`)."""

    config: Any
    data: Dataset
    task: "Task"
    model: Any  # for one device: without the name of an axis
    augment: Mapping[str, float] | None  # strengths of augmentations; None where all are 0

    def evaluation_step(self, axis_name: str | None) -> Callable:
        """`step(state, arrays, batch) -> (sums, (scores, predictions))`, not yet compiled."""
        ...


class Source(Protocol):
    """Training batches, as a pure function of (seed, step, the sampler's state).

    One whose sampler remembers nothing leaves the last three methods to `data/pipeline.py:
    Stateless`; it serves all runs of a population, and may read ahead. Any other serves one run, is
    told of every step by `before_step`, and makes each batch when it is asked for.

    Attributes:
        arrays: fields to be placed on the devices once; batches then hold an `index` into them.
        examples: how many examples count as an epoch.
    """

    arrays: Mapping[str, np.ndarray]
    examples: int

    def train_batches(
        self, seed: int, start: int, batch_size: int, rows: slice
    ) -> Iterator[Mapping[str, np.ndarray]]:
        """Endless batches from step `start`; `rows` is this process's share of each.

        A batch has `slot` (place in the whole batch), `weight` (0 for padding), and the fields of
        its examples, or `index`.
        """
        ...

    def remembered(self) -> Any:
        """The sampler's state as JSON, which is saved with every checkpoint; None for none.

        It is that before `before_step` of the step at which the checkpoint is made.
        """
        ...

    def remember(self, content: Any) -> None:
        """Takes back what `remembered` gave, before the first batch of a resumed run."""
        ...

    def before_step(self, step: int, state: Any) -> None:
        """Called before the batch of every step, with the run's state that it will train."""
        ...


class Evaluator(Protocol):
    """Evaluates any state on one split, whose data it holds."""

    def __call__(
        self,
        state: Any,
        *,
        final: bool = False,
        baseline: Any = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> "Evaluation | None":
        """The table of the split's cases; None if `stop()` became true on the way.

        Args:
            state: what is evaluated.
            final: whether all columns are wanted, or during training those in `Task.scored`.
            baseline: what `Task.baseline` learned from the training split; None for no comparison.
            stop: asked between parts.
        """
        ...


class Predictor(Protocol):
    """Predicts the cases that a user has, from files to files.

    Attributes:
        kind: what a case is, for messages: image, volume.
        suffixes: how names of files end that are taken from a folder.
        columns: header of the table after `image`.
        spread: whether it shares its batches, `evaluate.batch_size` each, out over devices.
        known_cases: names of the cases that the run was evaluated on, which are told to a predictor
            that has this attribute.
    """

    spread: bool
    kind: str
    suffixes: Sequence[str]
    columns: Sequence[str]

    def cases(self, files: Sequence[pathlib.Path]) -> Mapping[str, Sequence[pathlib.Path]]:
        """The files of each case by its name; UserError for what is none."""
        ...

    def outputs(self, name: str) -> Sequence[str]:
        """The names of what may be written of a case, below the output folder."""
        ...

    def check(self, files: Sequence[pathlib.Path]) -> None:
        """UserError naming the file if a case cannot be read or predicted."""
        ...

    def load(self, experiment: Experiment, state: Any, devices: Devices) -> None:
        """Takes the trained network; called once, when all cases have been checked."""
        ...

    def predict(
        self, name: str, files: Sequence[pathlib.Path], output: pathlib.Path
    ) -> Sequence[float]:
        """Writes the pictures of a case; its row of the table."""
        ...


class Task(Protocol):
    """One kind of problem.

    Attributes:
        fields: of the data set that it reads.
        offers: names of the arrays that losses may take.
        channels: of the image that the model sees.
        classes: names of the labels from 1 on; empty where there are none.
        metrics: what its table of cases comes to.
        headline: the name of the metric that stands for all.
        scored: columns of the table that every validation during training has.
        columns: header of the table after `image`, in its order; what a table lacks is left out.
        explained: sentences for reports: of columns that are no metric; of `baseline`; of what the
            final `table` is of, and on what each `validation` during training is measured; of what
            the `loss` is taken, where it may be confused with a metric; on the `resolution` of
            predictions. A task may leave it out, and each of them.
        question: what is asked of a case, in words. Trainings that ask different things are not
            compared with each other; a task may leave it out, as one that asks the same always.
        taken: `taken(arrays, batch)`, inside the compiled step, the fields of a batch; a task may
            leave it out, whose batches are examples (`data/pipeline.py: gather`).
        remarks: of a table's columns, lines on what a reader may overlook; a task may leave it out.
        augmentations: those that a config may switch on, with their defaults, as a function.
    """

    fields: Sequence[str]
    offers: Sequence[str]
    channels: int
    classes: Sequence[str]
    metrics: Sequence[Metric]
    headline: str
    scored: Sequence[str]
    columns: Sequence[str]

    # --- before anything is computed -----------------------------------------------------------

    def check_features(self, features: Mapping[str, Any], where: str) -> None:
        """UserError, beginning with `where`, unless the fields of a data set are as it wants."""
        ...

    def check_place(self, experiment: Experiment) -> None:
        """UserError where something that it has to keep beside the data cannot be kept."""
        ...

    def augmentations(self) -> dict[str, float]: ...

    def epoch_examples(self, examples: int, batch_size: int) -> int:
        """How many examples count as an epoch, of a training split of so many."""
        ...

    def validation_values(self, losses: Callable[[], Sequence[str]]) -> Sequence[str]:
        """Names of the values of a validation; `losses()` gives those of the evaluation step."""
        ...

    # --- inside the compiled step --------------------------------------------------------------

    def blank(self, image_size: tuple[int, int], batch: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and types of the fields of a batch."""
        ...

    def inputs(self, fields: Fields) -> Array:
        """What the model sees, [b, h, w, c]."""
        ...

    def augmented(self, keys: Array, fields: Fields, strengths: Mapping[str, float]) -> dict:
        """The fields of a batch, augmented, each example with its own key."""
        ...

    def evaluated(self, apply_fn: Callable[[Array], Fields], fields: Fields) -> Fields:
        """What the model gives for whole examples; `apply_fn` takes what it was trained on."""
        ...

    def bind(self, outputs: Fields, fields: Fields) -> dict[str, Array]:
        """The named arrays that losses take."""
        ...

    def scales(self, outputs: Fields, fields: Fields) -> Sequence[tuple[float, Fields]]:
        """(weight, named arrays) of each resolution at which losses are taken."""
        ...

    def predict(self, outputs: Fields) -> dict[str, Array]:
        """Predictions from what the model returns."""
        ...

    def scores(self, predictions: Fields, fields: Fields) -> dict[str, Array]:
        """The columns of `scored`, one value a case, `[b]`."""
        ...

    # --- outside -------------------------------------------------------------------------------

    def source(self, experiment: Experiment, split: str = "train") -> Source: ...

    def baseline(self, source: Callable[[], Source]) -> Any:
        """What a predictor without a model learns from the training split: JSON, or None.

        `source()` opens the split.
        """
        ...

    def evaluator(self, experiment: Experiment, split: str, devices: Devices) -> Evaluator: ...

    def predictor(self) -> Predictor: ...

    def probe(self, experiment: Experiment, split: str, examples: int) -> Fields:
        """The fields of the first examples of a split, not augmented, for loss landscapes."""
        ...

    def figures(
        self,
        experiment: Experiment,
        state: Any,
        split: str,
        columns: Columns,
        names: Sequence[str],
        devices: Devices,
    ) -> Mapping[str, Any]:
        """Figures of single cases by name, chosen by the table of a split."""
        ...


def explained(task: Task) -> Mapping[str, str]:
    """The sentences of a task on its columns and its baseline; none where it leaves them out."""
    return getattr(task, "explained", {})


def taken(task: Task, arrays: Fields, batch: Fields) -> dict:
    """The fields of a batch: as a task takes them, or examples as they lie in arrays or came."""
    return getattr(task, "taken", gather)(arrays, batch)


def question(task: Task) -> str:
    """What a task asks of a case; '' where it leaves that out."""
    return getattr(task, "question", "")


def remarks(task: Task, columns: Columns) -> list[str]:
    """What a task remarks on the columns of a table; nothing where it leaves that out."""
    return list(getattr(task, "remarks", lambda columns: ())(columns))


def check_fields(fields: Sequence[str], features: Mapping[str, Any], where: str) -> None:
    """UserError, beginning with `where`, for the first field that a data set does not have."""
    for name in fields:
        if name not in features:
            raise UserError(
                f"{where}: has no field {name!r}, which this task wants"
                f"{nearest(name, features)} It has: {', '.join(features)}"
            )


def check_baseline(known: bool) -> None:
    """UserError unless a task knows again what its baseline has learned."""
    if not known:
        raise UserError(
            "baseline.json (trivial.json of older runs) does not hold what the baseline of this "
            "task learns; remove it from the work folder and train again"
        )


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        names: of the cases, where they are known.
        columns: by name, one value a case.
        means: by name, of what is no column: the loss and its terms.
        baseline: the columns of the baseline, where there is one.
    """

    columns: Columns
    names: Sequence[str] | None = None
    means: Mapping[str, float] = field(default_factory=dict)
    baseline: Columns | None = None

    @property
    def count(self) -> int:
        """How many cases there are."""
        return len(next(iter(self.columns.values())))

    def values(self, task: Task) -> dict[str, float]:
        """The loss and its terms, and every metric whose columns are there, the headline first."""
        found = values_of(task.metrics, self.columns, self.names)
        first = {name: found[name] for name in (task.headline,) if name in found}
        # The headline comes again in `found`, but keeps the first place
        return {**first, **self.means, **found}

    def table(self, columns: Sequence[str]) -> tuple[list[str], np.ndarray]:
        """The named columns that are there, and their values `[cases, columns]`."""
        there = [name for name in columns if name in self.columns]
        return there, np.stack([np.asarray(self.columns[n], np.float64) for n in there], axis=-1)
