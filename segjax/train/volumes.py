"""Training on volumes and judging by them: cases, patches, whole-volume maps, evaluation."""

import contextlib
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict
from tqdm import tqdm

from segjax.config import lookup
from segjax.data import digest, staging, store
from segjax.data.volumes import cases as case_files
from segjax.data.volumes import components, preprocess, tiling
from segjax.data.volumes.cases import Case
from segjax.data.volumes.fingerprint import Intensity
from segjax.data.volumes.patches import ResidentPatches, StreamedPatches
from segjax.data.volumes.sampling import PatchSampler
from segjax.errors import UserError
from segjax.metrics import hausdorff_distance
from segjax.tasks.binding import Maps, bind
from segjax.tasks.volume_segmentation import INTENSITIES, map_field
from segjax.train import parallel
from segjax.train.evaluate import Result
from segjax.train.state import State


def recipe_of(task: Any) -> preprocess.Recipe:
    """How the task wants volumes preprocessed."""
    known = (dict(zip(INTENSITIES, row, strict=True)) for row in task.intensities)
    return preprocess.Recipe(
        spacing=task.pixel_spacing or None,
        axis=task.slice_axis,
        normalization=task.normalization,
        # Of the training set's statistics these four are all that preprocessing uses.
        intensities=tuple(Intensity(median=0, min=0, max=0, **row) for row in known),
        use_mask=task.within_nonzero,
    )


def open_cases(config: ConfigDict, task: Any, expression: str) -> list[Case]:
    """The preprocessed cases of a split, from the cache (`cache_of`), or made now."""
    made = store.ensure_prepared(config.data.name, config.data.data_dir)
    store.check_split(made, expression, path="config.data.splits")
    source = store.open_split(made, expression, task.fields)
    found = digest.of(made)
    folder, key = cache_of(config, found), f"{found}/{expression}"
    with contextlib.suppress(OSError):  # a folder to read only may hold what is wanted
        staging.hold(folder)
    return case_files.prepare_cases(source, recipe_of(task), folder, key=key, label=expression)


def cache_of(config: ConfigDict, found: str) -> pathlib.Path:
    """Where all that is made from the data of a digest is kept: `config.data.cache_dir`.

    Without one it lies beside the prepared sets.
    """
    beside = os.path.join(config.data.data_dir, case_files.FOLDER)
    return case_files.folder_of(config.data.cache_dir or beside, found)


def check_cache(config: ConfigDict, found: str) -> None:
    """UserError unless the cache has something of these data, or can be written into."""
    folder = cache_of(config, found)
    above = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not above.is_dir() or (above != folder and not os.access(above, os.W_OK | os.X_OK)):
        raise UserError(
            f"{folder}: cannot keep preprocessed cases there, for {above} cannot be written into; "
            f"{case_files.ELSEWHERE}"
        )


def open_patches(
    config: ConfigDict, task: Any, expression: str
) -> ResidentPatches | StreamedPatches:
    """Training patches: resident on the device if they fit and the config lets them."""
    cases = open_cases(config, task, expression)
    sampler = PatchSampler(
        [case.labels for case in cases],
        patch=tuple(config.data.image_size),
        foreground=task.foreground,
    )
    fields = [{"image": case.image, "labels": case.labels} for case in cases]
    found = digest.of(store.builder(config.data.name, config.data.data_dir))
    key = f"{found}/{expression}\n{recipe_of(task).to_json()}"
    for maps in _volume_maps(config, task):
        name = maps.function.__name__
        shapes = [(*case.labels.shape, task.map_planes(name)) for case in cases]
        kept = case_files.kept_arrays(
            cache_of(config, found),
            key=f"{key}\n{name} of {task.num_classes}, {dict(maps.options)}",
            shapes=shapes,
            make=partial(_planes, maps, task, cases),
        )
        for case_fields, planes in zip(fields, kept, strict=True):
            case_fields[map_field(name)] = planes
    examples = task.epoch_batches * config.data.batch_size
    megabytes = sum(array.nbytes for case in fields for array in case.values()) / 2**20
    fits = megabytes <= config.data.resident_megabytes
    if config.data.resident == "yes" or (config.data.resident == "auto" and fits):
        return ResidentPatches(fields, sampler, examples=examples)
    region = task.region(config.data.augment)
    return StreamedPatches(fields, sampler, region=region, examples=examples)


def _volume_maps(config: ConfigDict, task: Any) -> list[Maps]:
    """The maps to take from whole volumes, with the options of the term that uses them."""
    used = [term.maps for term in bind(config.loss, task.offers) if term.maps]
    by_name = {maps.function.__name__: maps for maps in used}
    known = {name: Maps(lookup.find("maps", name)) for name in task.volume_maps}
    return [by_name.get(name, maps) for name, maps in known.items()]


def _planes(maps: Maps, task: Any, cases: Sequence[Case]) -> Iterator[np.ndarray]:
    """A map of every label volume, [d, h, w, planes] float32.

    Distances take the proportions of the voxels, the in-plane pixel being 1. Volumes are filled up
    to one size, so that one program serves all, by repeating their outermost voxels: that leaves
    the distances inside as they are.
    """
    size = np.max([case.labels.shape for case in cases], axis=0)

    @jax.jit
    def compute(labels, spacing):
        return maps.function(labels, task.num_classes, spacing=spacing, **maps.options)[0]

    quiet = not sys.stderr.isatty()
    for case in tqdm(cases, desc=f"{maps.function.__name__} maps", disable=quiet):
        labels = np.asarray(case.labels, np.int32)
        missing = [(0, whole - n) for whole, n in zip(size, labels.shape, strict=True)]
        spacing = np.asarray(case.spacing, np.float32) / min(case.spacing[1:])
        values = np.asarray(compute(np.pad(labels, missing, "edge")[None], spacing))
        values = values[tuple(slice(n) for n in labels.shape)]
        if maps.function.__name__ == "rectified":
            values = _depth(values, labels)
        yield values


def _depth(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The size of a rectified map at the true class, 1 at the heart of each class."""
    depth = -np.take_along_axis(values, labels[..., None], axis=-1)
    for k in np.unique(labels):
        depth[labels == k] /= depth[labels == k].max()
    return depth


class VolumeEvaluator:
    """Holds the cases of a split, and evaluates any state on whole volumes.

    During training the scores are those of the preprocessed grid, without mirroring. The final
    table is made in the grid of the data set: mirrored predictions, resampled back, the largest
    components where the task keeps only them, distances in mm.
    """

    def __init__(self, plan: Any, cases: Sequence[Case]):
        self.cases, self.task, self._plan = cases, plan.task, plan
        self._predictor = Predictor(plan)

    def run(self, state: State, *, stop: Callable[[], bool] = lambda: False) -> Result | None:
        """Mean Dice on the preprocessed grid; None if `stop()` became true on the way."""
        scores = []
        variables = self._predictor.place(state)
        for case in self.cases:
            if stop():
                return None
            labels = np.argmax(self._predictor(variables, case.image, mirror=False), axis=-1)
            scores.append(_dice_of_classes(labels, case.labels, self.task.num_classes))
        means = np.mean(scores, axis=0)
        values = dict(zip(self.task.value_names(), [means.mean(), *means], strict=True))
        return Result({name: float(value) for name, value in values.items()}, len(scores))

    def table(self, state: State, answer: object = None) -> Result:
        """The figures of every case; there is no trivial predictor of volumes."""
        variables = self._predictor.place(state)
        bar = tqdm(self.cases, desc="evaluating volumes", disable=not sys.stderr.isatty())
        labels = (self.labels_of(case.image, case.geometry, variables) for case in bar)
        table = np.array([self._row(c, found) for c, found in zip(self.cases, labels, strict=True)])
        names = [case.name for case in self.cases]
        return Result(self.task.row_means(table, names), len(names), table)

    def placed(self, state: State) -> Any:
        """A state's variables, ready for `labels_of`."""
        return self._predictor.place(state)

    def panels(self, state: State, chosen: Mapping[str, int]) -> list[tuple]:
        """(words, image, true labels, predicted labels) of cases, in the preprocessed grid."""
        variables, found = self._predictor.place(state), []
        for words, index in chosen.items():
            case = self.cases[index]
            predicted = self._predictor(variables, case.image, mirror=self.task.mirror)
            true, labels = np.asarray(case.labels), np.argmax(predicted, axis=-1)
            found.append((words, np.asarray(case.image[..., 0]), true, labels))
        return found

    def labels_of(self, image: np.ndarray, geometry: Any, variables: Any) -> np.ndarray:
        """Labels in the grid of the data set, from a preprocessed image [d, h, w, c]."""
        probabilities = self._predictor(variables, image, mirror=self.task.mirror)
        labels = preprocess.restore(probabilities, geometry)
        if not self.task.largest_component:
            return labels
        return components.keep_largest(labels, range(1, self.task.num_classes))

    def _row(self, case: Case, labels: np.ndarray) -> list[float]:
        scores = _dice_of_classes(labels, case.stored_labels, self.task.num_classes)
        millilitres = float(np.prod(case.stored_spacing)) / 1000
        row = []
        for k, score in enumerate(scores, start=1):
            here, true = labels == k, np.asarray(case.stored_labels) == k
            distance = hausdorff_distance(here[None], true[None], spacing=case.stored_spacing)
            row += [score, distance[0], true.sum() * millilitres, here.sum() * millilitres]
        return [*row, float(np.mean(scores))]


class Predictor:
    """Class probabilities of preprocessed volumes, by tiles of slices, on local devices."""

    def __init__(self, plan: Any):
        self._patch = tuple(plan.config.data.image_size)
        self._batch_size, self._step = plan.config.evaluate.batch_size, plan.task.tile_step
        model, task = plan.model.clone(axis_name=None), plan.task

        def probabilities(variables, patches):
            return task.probabilities(model.apply(variables, patches, train=False))

        def mirrored(variables, patches):
            return tiling.mirrored(partial(probabilities, variables))(patches)

        devices = parallel.dividing(self._batch_size, "config.evaluate.batch_size")
        mesh = Mesh(np.array(devices), ("data",))
        self._whole = NamedSharding(mesh, PartitionSpec())
        split = NamedSharding(mesh, PartitionSpec("data"))
        shardings = {"in_shardings": (self._whole, split), "out_shardings": split}
        self._apply = {
            False: jax.jit(probabilities, **shardings),
            True: jax.jit(mirrored, **shardings),
        }

    def place(self, state: State) -> Mapping:
        """A state's variables on those devices."""
        return jax.device_put(jax.device_get(state.variables), self._whole)

    def __call__(self, variables: Mapping, image: np.ndarray, *, mirror: bool) -> np.ndarray:
        """Probabilities [d, h, w, classes] of an image [d, h, w, c]."""
        apply = self._apply[mirror]
        return tiling.predict_slices(
            image,
            lambda patches: np.asarray(apply(variables, jnp.asarray(patches))),
            patch=self._patch,
            batch_size=self._batch_size,
            step=self._step,
        )


def evaluator(plan: Any, expression: str) -> VolumeEvaluator:
    """The evaluator of a split."""
    return VolumeEvaluator(plan, open_cases(plan.config, plan.task, expression))


def _dice_of_classes(predicted: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Dice of each foreground class over a whole volume; 1 where both are empty."""
    scores = []
    for k in range(1, num_classes):
        here, true = predicted == k, np.asarray(labels) == k
        both, either = np.count_nonzero(here & true), here.sum() + true.sum()
        scores.append(2.0 * both / either if either else 1.0)
    return np.array(scores)
