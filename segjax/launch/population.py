"""Runs the points of a sweep together: those of one shape train in one compiled program.

Points that differ in hyperparameters alone (seed, learning rate, weights of terms:
`train/hyperparameters.py`) make a population; whatever else differs makes another one, so that
every sweep runs. Work folders are those of `segjax train`. A point that failed runs again alone.
"""

import contextlib
import json
import pathlib
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import jax
from ml_collections import ConfigDict

from segjax.config import sweeps
from segjax.errors import Interrupted, UserError
from segjax.launch import sweep
from segjax.train import checkpoint, hyperparameters
from segjax.train import population as training
from segjax.train.loop import Stop

HERE = "--engine population"


@dataclass(frozen=True)
class Group:
    """Points that train together, and the paths of the hyperparameters in which they differ."""

    places: tuple[int, ...]
    paths: tuple[str, ...]


def default_members() -> int:
    """How many members train at once: an accelerator has room for more."""
    return 8 if jax.default_backend() == "cpu" else 16


def run_sweep(
    text: str, extra: Mapping[str, str], workdir: pathlib.Path, *, members: int | None = None
) -> None:
    """Trains every point that is not done, `members` at once; one that fails leaves the rest be.

    Raises: UserError for wrong input; Interrupted after a signal, and when points failed.
    """
    if members is not None and members < 1:
        raise UserError(f"--members {members}: takes a whole number of at least 1")
    points = sweep.load_points(text)
    configs = sweep.check_points(text, points, extra)
    for config in configs:
        check(config)
    sweep.check_data(workdir, points, configs)
    with contextlib.ExitStack() as stack:
        stack.enter_context(sweep.open_folder(text, points, extra, workdir))
        progress = stack.enter_context(sweep.Progress(workdir, points))
        stop = stack.enter_context(Stop())
        for group in _to_run(groups(configs, members or default_members()), progress):
            _run(group, configs, progress, stop)
        progress.conclude()


def check(config: ConfigDict) -> None:
    """UserError for what a population does not do."""
    if config.parallel == "pmap":
        raise UserError(f"config.parallel='pmap': {HERE} takes 'sharding'; or take --engine local")
    for key, value in config.train.items():
        if key.startswith("patience") and value is not None:
            raise UserError(
                f"config.train.{key}={value!r}: {HERE} stops no member early; "
                "set it to none, or take --engine local"
            )


def groups(configs: list[ConfigDict], members: int) -> list[Group]:
    """Sorts configs into populations of at most `members`, in their order."""
    made = []
    for places in _alike(configs, lambda config: hyperparameters.candidates(config)):
        paths = [
            path
            for path in hyperparameters.candidates(configs[places[0]])
            if len(_values(configs, places, path)) > 1
        ]
        free = tuple(
            path
            for path in paths
            if hyperparameters.agree(configs[places[0]], path, _values(configs, places, path))
        )
        apart = [configs[place] for place in places]
        for some in _alike(apart, lambda config, free=free: free):
            for start in range(0, len(some), members):
                taken = tuple(places[i] for i in some[start : start + members])
                paths = tuple(path for path in free if len(_values(configs, taken, path)) > 1)
                made.append(Group(taken, paths))
    return made


def _alike(configs: list[ConfigDict], free) -> list[list[int]]:
    """Places of configs that are the same but for their `free(config)` paths."""
    found: dict[str, list[int]] = {}
    for place, config in enumerate(configs):
        key = config.to_dict()
        del key["paper"]  # figures for the report
        for path in free(config):
            *parents, leaf = path.split(".")
            section = key
            for parent in parents:
                section = section[parent]
            section[leaf] = "a number"
        found.setdefault(json.dumps(key, sort_keys=True, default=str), []).append(place)
    return list(found.values())


def _values(configs: list[ConfigDict], places, path: str) -> list[float]:
    """The different values at a path."""
    return list(
        dict.fromkeys(hyperparameters.read(configs[place], [path])[path] for place in places)
    )


def _to_run(made: list[Group], progress: sweep.Progress) -> Iterator[Group]:
    """The groups without what is done; points that failed before come last, each alone."""
    missing = {sweeps.point_id(point) for point in progress.missing}
    ids = [sweeps.point_id(point) for point in progress.points]
    folders = [sweep.folder_of(progress.workdir, point) for point in progress.points]
    failed = {place for place, folder in enumerate(folders) if sweep.failure_of(folder).exists()}
    for group in made:
        left = tuple(i for i in group.places if ids[i] in missing and i not in failed)
        for together in _at_one_step(left, folders):
            yield Group(together, group.paths)
    for place in sorted(failed):
        if ids[place] in missing:
            yield Group((place,), ())


def _at_one_step(places: Sequence[int], folders: list[pathlib.Path]) -> Iterator[tuple[int, ...]]:
    """Places whose folders share a checkpoint, or have none: the others would lose their steps."""
    parts: list[tuple[set[int], list[int]]] = []
    for place in places:
        own = checkpoint.steps_of(folders[place], "latest")
        for shared, part in parts:
            if shared & own or not (shared or own):
                shared &= own
                part.append(place)
                break
        else:
            parts.append((own, [place]))
    return (tuple(part) for _, part in parts)


def _run(group: Group, configs: list[ConfigDict], progress: sweep.Progress, stop: Stop) -> None:
    """Trains one group; an error that is not one member's fails all that are not done."""
    members, points = [], {}
    for place in group.places:
        point = progress.points[place]
        folder = sweep.folder_of(progress.workdir, point)
        progress.begins(point)
        members.append(training.Member(configs[place], folder, sweep.output_of(folder)))
        points[folder] = point

    def finished(member: training.Member) -> None:
        point = points.pop(member.folder)
        if member.error is not None:
            member.write(f"segjax: {member.error}")
        progress.ended(point, member.error)

    try:
        training.train(members, group.paths, stop, finished)
    except Interrupted:
        raise
    except Exception as error:
        shown = " ".join(f"{error}".split()) or type(error).__name__
        for member in members:
            if member.folder in points:
                if not isinstance(error, UserError):
                    member.write(traceback.format_exc())
                member.error = member.error or shown
                finished(member)
