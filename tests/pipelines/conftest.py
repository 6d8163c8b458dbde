"""A pipeline of the smallest networks, trained and evaluated once."""

import shutil

import cv2
import jax
import numpy as np
import pytest

from segjax.data import store
from segjax.pipelines import stages
from tests import pictures
from tests.pipelines import commands, tiny


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


@pytest.fixture(scope="session")
def opened(two_stages):
    """The definition, and its networks."""
    made = two_stages.definition()
    with _as_the_command():
        return made, stages.open_all(made, two_stages.folder, list(made.stages))


@pytest.fixture(scope="session")
def photographs(two_stages, tmp_path_factory):
    """Three photographs of the test split as files, and masks of the first two beside them."""
    folder = tmp_path_factory.mktemp("photographs")
    (folder / "in").mkdir()
    (folder / "masks").mkdir()
    builder = store.builder(tiny.DATA, str(two_stages.data))
    for number, example in zip(range(3), store.open_split(builder, "test"), strict=False):
        name = example["image_id"].decode()
        cv2.imwrite(str(folder / "in" / f"{name}.png"), example["image"][..., ::-1])
        if number < 2:
            mask = np.zeros((96, 96), np.uint8)
            mask[20:60, 30:50] = 255
            cv2.imwrite(str(folder / "masks" / f"{name}_MA.png"), mask)
    return folder


@pytest.fixture(scope="session")
def predicted(evaluated, photographs, tmp_path_factory):
    """What an undisturbed prediction with masks writes."""
    output = tmp_path_factory.mktemp("predicted") / "out"
    with _as_the_command():
        assert evaluated.run("predict", *commands.words(photographs, output)) == 0
    return output
