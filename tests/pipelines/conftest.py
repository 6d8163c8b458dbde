"""A pipeline of the smallest networks, trained and evaluated once."""

import shutil

import jax
import pytest

from tests import pictures
from tests.pipelines import commands


@pytest.fixture(scope="session")
def two_stages(tmp_path_factory):
    """Its folder after `train`, and its data. Tests leave the content as it is."""
    place = tmp_path_factory.mktemp("two_stages")
    _run(place, "train")
    return commands.Place(place / "run", place / "data")


@pytest.fixture(scope="session")
def evaluated(two_stages, tmp_path_factory):
    """The same after `evaluate`."""
    place = commands.Place(tmp_path_factory.mktemp("evaluated") / "run", two_stages.data)
    shutil.copytree(two_stages.folder, place.folder)
    with _as_the_command():
        assert place.run("evaluate") == 0
    return place


def _run(place, action):
    with _as_the_command():
        assert commands.Place(place / "run", place / "data").run(action) == 0


class _as_the_command:
    """JAX's own promotion rules, and no pictures: session fixtures come before those of modules."""

    def __enter__(self):
        self.patch = pytest.MonkeyPatch()
        pictures.leave_out(self.patch.setattr)
        self.rules = jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow")
        for rule in self.rules:
            rule.__enter__()

    def __exit__(self, *raised):
        for rule in reversed(self.rules):
            rule.__exit__(*raised)
        self.patch.undo()


@pytest.fixture
def copied(two_stages, tmp_path):
    """A copy of the trained pipeline, for a test to change."""
    return two_stages.copy(tmp_path / "run")
