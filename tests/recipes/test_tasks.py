"""Options and augmentations of a task, all written out."""

import inspect

import pytest

from segjax.config import lookup
from segjax.errors import UserError
from segjax.recipes.augmentation import augmentations
from segjax.recipes.tasks import task_options

TASKS = lookup.names("tasks")


@pytest.mark.parametrize("name", TASKS)
def test_every_option_of_a_task_is_written_out(name):
    target = lookup.find("tasks", name)
    parameters = inspect.signature(target).parameters
    # The program supplies the size of a patch from `config.data`.
    wanted = {p: parameters[p].default for p in parameters if p != "image_size"}
    assert task_options(name).to_dict() == wanted


def test_options_given_take_the_place_of_defaults():
    options = task_options("segmentation", targets=("vessels",), cover=0.2)
    assert (options.targets, options.cover, options.within) == (("vessels",), 0.2, None)
    options.within = "field_of_view"  # None gives way to a text
    with pytest.raises(UserError, match=r"segmentation\.covr: .*did you mean 'cover'"):
        task_options("segmentation", covr=0.2)
    with pytest.raises(UserError, match="did you mean 'segmentation'"):
        task_options("segmentaton")


@pytest.mark.parametrize("name", TASKS)
def test_every_augmentation_of_a_task_is_written_out(name):
    known = lookup.find("tasks", name).augmentations()
    assert augmentations(name) == known
    first = next(iter(known))
    assert augmentations(name, **{first: 0.25}) == known | {first: 0.25}
    with pytest.raises(UserError, match=f"task {name!r} has no such.*It has: {first}"):
        augmentations(name, wobble=1.0)


def test_photographs_are_left_as_they_are_and_volumes_augmented():
    assert not any(augmentations("localization").values())
    assert augmentations("segmentation") == augmentations("localization")
    assert augmentations("volume_segmentation")["rotate"] > 0
