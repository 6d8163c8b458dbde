"""What volume segmentation trains on and is judged by: cases, patches, maps of whole volumes."""

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from segjax.config import lookup
from segjax.data.ignored import IGNORED
from segjax.data.volumes import cases as case_files
from segjax.data.volumes import preprocess
from segjax.data.volumes.cases import Case
from segjax.data.volumes.fingerprint import Intensity
from segjax.data.volumes.patches import ResidentPatches, StreamedPatches
from segjax.data.volumes.sampling import PatchSampler
from segjax.errors import UserError
from segjax.tasks.base import Experiment
from segjax.tasks.binding import Maps, bind
from segjax.tasks.caches import cache_of, held_cache

# What is known of a CT channel from the training set, in this order.
INTENSITIES = ("mean", "sd", "percentile_00_5", "percentile_99_5")


def map_field(name: str) -> str:
    """The field that carries a whole-volume map to the step."""
    return f"{name}_planes"


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


def open_cases(experiment: Experiment, split: str) -> list[Case]:
    """The preprocessed cases of a split, from the cache (`cache_of`), or made now."""
    data, task = experiment.data, experiment.task
    source, expression = data.open(split, task.fields), data.expression(split)
    folder, key = held_cache(experiment.config, data.digest), f"{data.digest}/{expression}"
    return case_files.prepare_cases(source, recipe_of(task), folder, key=key, label=expression)


def check_ignored(experiment: Experiment, found: bool) -> None:
    """UserError where a set has voxels of the label 255, and the task is not told to ignore it."""
    if found and not experiment.task.ignored:
        raise UserError(
            f"config.task_options.ignored=False: {experiment.config.data.name} has voxels labelled "
            f"{IGNORED}, of which nothing is known; with True they count nowhere"
        )


def open_patches(experiment: Experiment, split: str) -> ResidentPatches | StreamedPatches:
    """Training patches: resident on the device if they fit and the config lets them.

    Raises: UserError as `check_ignored`.
    """
    config, task, data = experiment.config, experiment.task, experiment.data
    cases = open_cases(experiment, split)
    sampler = PatchSampler(
        [case.labels for case in cases],
        patch=tuple(config.data.image_size),
        foreground=task.foreground,
    )
    check_ignored(experiment, sampler.ignores)
    fields = [{"image": case.image, "labels": case.labels} for case in cases]
    # All that a cached map depends on: data, split, preprocessing, and below classes and options
    key = f"{data.digest}/{data.expression(split)}\n{recipe_of(task).to_json()}"
    for maps in _volume_maps(config, task):
        name = maps.function.__name__
        shapes = [(*case.labels.shape, task.map_planes(name)) for case in cases]
        kept = case_files.kept_arrays(
            cache_of(config, data.digest),
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
        # At the far end only, so that the volume itself is cut out again from 0
        missing = [(0, whole - n) for whole, n in zip(size, labels.shape, strict=True)]
        # (z, y, x); the smaller side of a pixel becomes 1
        spacing = np.asarray(case.spacing, np.float32) / min(case.spacing[1:])
        values = np.asarray(compute(np.pad(labels, missing, "edge")[None], spacing))
        values = values[tuple(slice(n) for n in labels.shape)]
        if maps.function.__name__ == "rectified":
            values = _depth(values, labels)
        yield values


def _depth(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The size of a rectified map at the true class, 1 at the deepest point of each class.

    0 where a voxel is of no class.
    """
    known = labels != IGNORED
    depth = -np.take_along_axis(values, np.where(known, labels, 0)[..., None], axis=-1)
    depth[~known] = 0
    for k in np.unique(labels[known]):
        # Again by the deepest point of the volume: the map was divided by that of the filled-up
        # one, where a class may be deeper.
        depth[labels == k] /= depth[labels == k].max()
    return depth
