"""Which mask belongs to which image, from names as people give them."""

import pathlib

import pytest

from segjax.data.folders.pairing import is_mask, paired
from segjax.errors import UserError

FOLDER = pathlib.Path("masks")


def found(images, masks, pattern=None):
    """Classes -> image -> mask, by names."""
    made = paired(
        {name: pathlib.Path("images", f"{name}.png") for name in images},
        {name: FOLDER / name for name in masks},
        FOLDER,
        pattern,
    )
    return {
        label: {name: path.relative_to(FOLDER).as_posix() for name, path in files.items()}
        for label, files in made.masks.items()
    }


@pytest.mark.parametrize(
    "images, masks, wanted",
    [
        (["a", "b"], ["a.png", "b.gif"], {"": {"a": "a.png", "b": "b.gif"}}),
        (["a", "b"], ["a_mask.png", "b_mask.png"], {"": {"a": "a_mask.png", "b": "b_mask.png"}}),
        (["1", "10"], ["1_m.png", "10_m.png"], {"": {"1": "1_m.png", "10": "10_m.png"}}),
        (["a", "a_x"], ["a_m.png", "a_x_m.png"], {"": {"a": "a_m.png", "a_x": "a_x_m.png"}}),
        (["a", "b"], ["mask_a.png", "mask_b.png"], {"": {"a": "mask_a.png", "b": "mask_b.png"}}),
        (
            ["a", "b"],
            ["a_disc.png", "a_cup.png", "b_disc.png", "b_cup.png"],
            {
                "disc": {"a": "a_disc.png", "b": "b_disc.png"},
                "cup": {"a": "a_cup.png", "b": "b_cup.png"},
            },
        ),
        (
            ["a", "b"],
            ["disc/a.png", "disc/b.png", "cup/a.png"],
            {"disc": {"a": "disc/a.png", "b": "disc/b.png"}, "cup": {"a": "cup/a.png"}},
        ),
        (
            ["id_1", "id_2"],
            ["1. MA/id_1_MA.tif", "1. MA/id_2_MA.tif", "2. HE/id_1_HE.tif"],
            {
                "MA": {"id_1": "1. MA/id_1_MA.tif", "id_2": "1. MA/id_2_MA.tif"},
                "HE": {"id_1": "2. HE/id_1_HE.tif"},
            },
        ),
    ],
)
def test_by_convention(images, masks, wanted):
    assert found(images, masks) == wanted


@pytest.mark.parametrize(
    "pattern, masks, wanted",
    [
        ("{name}_mask.png", ["a_mask.png", "b_mask.png"], {"": ["a", "b"]}),
        ("{class}/{name}.*", ["x/a.png", "x/b.png"], {"x": ["a", "b"]}),
        ("{name}_{class}.png", ["a_left_eye.png", "b_left_eye.png"], {"left_eye": ["a", "b"]}),
        ("seg/{NAME}.png".replace("NAME", "name"), ["seg/A.png", "seg/b.PNG"], {"": ["a", "b"]}),
    ],
)
def test_by_pattern(pattern, masks, wanted):
    made = found(["a", "b"], masks, pattern)
    assert {label: sorted(files) for label, files in made.items()} == wanted


def test_a_class_may_have_the_separator_in_its_name():
    masks = ["a_left_eye.png", "a_b_left_eye.png", "a_b_c.png"]
    made = found(["a", "a_b"], masks, "{name}_{class}.png")
    # The longest name of an image that fits: `a_b_c` is class c of a_b, not b_c of a
    assert made == {
        "left_eye": {"a": "a_left_eye.png", "a_b": "a_b_left_eye.png"},
        "c": {"a_b": "a_b_c.png"},
    }


@pytest.mark.parametrize(
    "images, masks, pattern, message",
    [
        (["a", "b"], ["a.png"], None, "1 image has no mask by {name}.*: b.png"),
        (["a"], ["a.png", "c.png"], None, "1 mask has no image by {name}.*: c.png"),
        (["a", "b"], ["x.png", "y.png"], None, "no rule was found by which masks (x.png, y.png)"),
        (["a"], ["a.png"], "{name}_m.png", "'{name}_m.png' fits none by which masks (a.png)"),
        (["a"], ["a.png"], "mask.png", "takes {name}, and perhaps {class}"),
        (["a"], ["a.png"], "{name}_{kind}.png", "takes {name}, and perhaps {class}"),
        (["a"], ["a.png", "a.gif"], None, "masks/a.gif: is a mask of the image 'a', as masks/a.p"),
    ],
)
def test_what_does_not_pair(images, masks, pattern, message):
    with pytest.raises(UserError) as error:
        found(images, masks, pattern)
    assert message in str(error.value)


def test_at_most_ten_are_listed():
    images = [f"i{n:02d}" for n in range(40)]
    with pytest.raises(UserError) as error:
        found(images, [f"{name}.png" for name in images[:21]])
    assert "19 images have no mask" in str(error.value)
    assert str(error.value).endswith("i30.png and 9 more")


def test_masks_among_images_are_told_by_the_pattern():
    assert is_mask("17_mask.png", "{name}_mask.png") and is_mask("a/17_mask.PNG", "a/{name}_mask.*")
    assert not is_mask("17.png", "{name}_mask.png")


def test_the_same_name_is_found_where_all_images_have_it_and_most_masks_no_image():
    with pytest.raises(UserError) as error:
        found(["p12", "p13"], [f"p{n:02d}.png" for n in range(14)])
    names = ", ".join(f"p{n:02d}.png" for n in range(10))
    wanted = f"masks: 12 masks have no image by {{name}}.*: {names} and 2 more"
    assert str(error.value) == wanted


@pytest.mark.parametrize("ending", ["", "_mask"])
def test_masks_without_image_and_images_without_mask_are_both_listed(ending):
    with pytest.raises(UserError) as error:
        found(["p3", "p4", "q"], [f"p{n}{ending}.png" for n in range(5)])
    surplus = ", ".join(f"p{n}{ending}.png" for n in range(3))
    pattern = f"by {{name}}{ending}.*"
    wanted = f"masks: 3 masks have no image {pattern}: {surplus}; 1 image has no mask {pattern}: q"
    assert str(error.value) == f"{wanted}.png"
