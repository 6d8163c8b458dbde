"""Which points of a sweep may train in one program: those that differ in hyperparameters alone."""

import json
import pathlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ml_collections import ConfigDict

from segjax.train import checkpoint, hyperparameters


@dataclass(frozen=True)
class Group:
    """Points that train together, and the paths of the hyperparameters in which they differ."""

    places: tuple[int, ...]
    paths: tuple[str, ...]


def groups(configs: list[ConfigDict], members: int) -> list[Group]:
    """Sorts configs into populations of at most `members`, in their order."""
    made = []
    for places in _alike(configs, lambda config: hyperparameters.candidates(config)):
        paths = [
            path
            for path in hyperparameters.candidates(configs[places[0]])
            if len(_values(configs, places, path)) > 1
        ]
        # Only those that may be arrays in the program; by the others the points are parted once
        # more.
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


def at_one_step(places: Sequence[int], folders: list[pathlib.Path]) -> Iterator[tuple[int, ...]]:
    """Places whose folders share a checkpoint, or have none: the others would lose their steps."""
    parts: list[tuple[set[int], list[int]]] = []
    for place in places:
        own = checkpoint.steps_of(folders[place], "latest")
        for shared, part in parts:
            if shared & own or not (shared or own):
                # In place: the set of the part shrinks to the steps that all its folders have
                shared &= own
                part.append(place)
                break
        else:
            parts.append((own, [place]))
    return (tuple(part) for _, part in parts)
