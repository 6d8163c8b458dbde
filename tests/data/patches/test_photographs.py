"""The cache of preprocessed photographs: content, reuse, damage, and several processes."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import cv2
import numpy as np
import pytest
from scipy import ndimage

from segjax.data.field_of_view import field_of_view_mask
from segjax.data.patches import photographs
from segjax.data.patches.photographs import Marked, Recipe, prepare_photographs
from segjax.errors import UserError

RECIPE = Recipe(sigma=2.0)


def example(index, size=(40, 50), is_healthy=None):
    """A bright disc on black, with a lesion of 2 by 4 pixels in every second one."""
    generator = np.random.default_rng(index)
    y, x = np.mgrid[: size[0], : size[1]]
    seen = np.hypot(y - size[0] / 2, x - size[1] / 2) < 0.45 * min(size)
    image = generator.integers(80, 180, (*size, 3), dtype=np.uint8) * seen[..., None]
    lesions = np.zeros(size, bool)
    if index % 2:
        top, left = size[0] // 2, size[1] // 2
        lesions[top : top + 2, left : left + 4] = True
    known = not index % 2 if is_healthy is None else is_healthy
    name = f"eye{index}".encode() if index % 2 else f"eye{index}"
    return {"image_id": name, "known": Marked(image, lesions, known)}


def prepared(examples, folder, recipe=RECIPE, key="digest/train"):
    return prepare_photographs(
        examples, recipe, folder, read=lambda e: e["known"], key=key, label="fake train"
    )


def untouched():
    raise AssertionError("the examples were read again")
    yield


def equal(found, wanted):
    arrays = ("image", "labels", "field", "stored_labels")
    return len(found) == len(wanted) and all(
        a.name == b.name
        and a.is_healthy == b.is_healthy
        and all(np.array_equal(getattr(a, n), getattr(b, n)) for n in arrays)
        for a, b in zip(found, wanted, strict=True)
    )


SIZES = [(40, 50), (33, 27), (64, 64), (41, 50)]


def examples():
    return [example(index, size) for index, size in enumerate(SIZES)]


def enhanced(image, recipe):
    """4 I - 4 G * I + 128 in float64, before it is rounded."""
    blurred = [
        ndimage.gaussian_filter(image[..., c].astype(np.float64), recipe.sigma, mode="reflect")
        for c in range(3)
    ]
    blurred = np.stack(blurred, axis=-1)
    return np.clip(recipe.gain * (image - blurred) + recipe.offset, 0, 255)


def test_a_set_holds_photographs_of_any_size_in_their_order(tmp_path):
    found = prepared(examples(), tmp_path)
    assert [p.name for p in found] == ["eye0", "eye1", "eye2", "eye3"]
    assert [p.is_healthy for p in found] == [True, False, True, False]
    for photograph, given, size in zip(found, examples(), SIZES, strict=True):
        known = given["known"]
        assert photograph.image.shape == (*size, 3) and photograph.labels.shape == size
        assert np.array_equal(photograph.labels, known.lesions)
        assert np.array_equal(photograph.stored_labels, known.lesions)
        assert np.array_equal(photograph.field, field_of_view_mask(known.image))
        assert 0 < photograph.field.mean() < 1
        wanted = enhanced(known.image, RECIPE)
        assert np.abs(photograph.image - wanted).max() <= 0.501
        # The oracle is not that of another equation
        assert np.abs(photograph.image - enhanced(known.image, Recipe(sigma=4.0))).max() > 5


def test_arrays_are_memory_mapped_and_read_only(tmp_path):
    for _ in range(2):  # made, and opened again
        for photograph in prepared(examples(), tmp_path):
            for name in ("image", "labels", "field", "stored_labels"):
                array = getattr(photograph, name)
                assert isinstance(array, np.memmap) and array.dtype == np.uint8
                with pytest.raises(ValueError, match="read-only"):
                    array[0, 0] = 1


def test_a_set_is_made_once(tmp_path, capsys):
    first = prepared(examples(), tmp_path)
    assert equal(prepared(untouched(), tmp_path), first)
    assert len(os.listdir(tmp_path)) == 1
    captured = capsys.readouterr()
    assert not captured.out and not captured.err


def test_another_recipe_source_or_version_is_another_set(tmp_path, monkeypatch):
    for field in dataclasses.fields(Recipe):
        changed = dataclasses.replace(RECIPE, **{field.name: getattr(RECIPE, field.name) * 0.75})
        prepared([example(1)], tmp_path, changed)
    prepared([example(1)], tmp_path)
    prepared([example(1)], tmp_path, key="digest/test")
    monkeypatch.setattr(photographs, "VERSION", photographs.VERSION + 1)
    prepared([example(1)], tmp_path)
    assert len(os.listdir(tmp_path)) == len(dataclasses.fields(Recipe)) + 3


def cut(path):
    path.write_bytes(path.read_bytes()[:-3])


def reworded(change):
    def damage(path):
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return damage


@pytest.mark.parametrize(
    "name, damage",
    [
        ("image.npy", os.remove),
        ("image.npy", cut),
        ("labels.npy", lambda path: path.write_bytes(b"")),
        ("field.npy", lambda path: np.save(path, np.zeros(3, np.uint8))),
        ("stored_labels.npy", lambda path: np.save(path, np.load(path).astype(np.int32))),
        (photographs.INDEX, os.remove),
        (photographs.INDEX, cut),
        (photographs.INDEX, lambda path: path.write_bytes(b"\xff\x00")),
        (photographs.INDEX, lambda path: path.write_text("[]")),
        (photographs.INDEX, reworded(lambda content: content.update(key="other"))),
        (photographs.INDEX, reworded(lambda content: content["photographs"]["eye1"].pop("size"))),
        (photographs.INDEX, reworded(lambda content: content.update(photographs=None))),
    ],
)
def test_a_damaged_set_is_named_and_made_again(name, damage, tmp_path, capsys):
    wanted = prepared(examples(), tmp_path / "a")
    prepared(examples(), tmp_path / "b")
    (place,) = (tmp_path / "b").iterdir()
    damage(place / name)
    assert equal(prepared(examples(), tmp_path / "b"), wanted)
    said = capsys.readouterr().err
    assert said.startswith("fake train: preparing again, because") and str(place / name) in said
    assert len(said.splitlines()) == 1
    assert equal(prepared(untouched(), tmp_path / "b"), wanted)
    assert list((tmp_path / "b").iterdir()) == [place]


def broken(**changes):
    wrong = dataclasses.replace(example(1)["known"], **changes)
    return [example(0), {"image_id": "eye1", "known": wrong}]


@pytest.mark.parametrize(
    "given, word",
    [
        (broken(lesions=np.zeros((20, 30), bool)), "eye1: a mask of 30x20 .*, an image of 50x40"),
        ([example(1), example(1)], "fake train: two photographs have the name eye1"),
        ([], "fake train: there is no photograph"),
    ],
)
def test_wrong_examples_are_named_and_leave_nothing(given, word, tmp_path):
    with pytest.raises(UserError, match=word):
        prepared(given, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_set_that_breaks_off_leaves_nothing(tmp_path):
    def interrupted():
        yield example(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepared(interrupted(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=f"{tmp_path}/file/sets: .*cache_dir"):
        prepared(examples(), tmp_path / "file" / "sets")


@pytest.mark.parametrize(
    "stored, scaled", [((40, 50), (20, 25)), ((33, 27), (16, 14)), ((41, 50), (20, 25))]
)
def test_half_the_scale_averages_areas(stored, scaled, tmp_path):
    recipe = Recipe(scale=0.5, gain=0.0)
    given = example(1, stored)
    (found,) = prepared([given], tmp_path, recipe)
    assert found.image.shape == (*scaled, 3) and found.labels.shape == found.field.shape == scaled
    assert found.stored_labels.shape == stored
    assert np.array_equal(found.stored_labels, given["known"].lesions)
    if stored == (40, 50):
        blocks = given["known"].image.reshape(20, 2, 25, 2, 3).astype(np.float64)
        assert np.abs(found.image - blocks.mean(axis=(1, 3))).max() <= 0.501
        cover = given["known"].lesions.reshape(20, 2, 25, 2).mean(axis=(1, 3))
        # The lesion begins on even rows, and on an odd column: half of its outer pixels is covered
        assert set(np.unique(cover)) == {0, 0.5, 1}
        assert np.array_equal(found.labels, cover >= 0.5)


def test_contrast_is_enhanced_before_the_scale(tmp_path):
    (found,) = prepared([example(0)], tmp_path, Recipe(scale=0.5, sigma=2.0))
    whole = enhanced(example(0)["known"].image, RECIPE)
    assert np.abs(found.image - whole.reshape(20, 2, 25, 2, 3).mean(axis=(1, 3))).max() <= 1.01
    (small,) = prepared([example(0)], tmp_path, Recipe(scale=0.5, gain=0.0))
    after = enhanced(np.asarray(small.image), RECIPE)
    assert np.abs(found.image - after).max() > 10


def test_no_gain_leaves_the_photograph(tmp_path):
    for found, given in zip(
        prepared(examples(), tmp_path, Recipe(gain=0.0)), examples(), strict=True
    ):
        assert np.array_equal(found.image, given["known"].image)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1)])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_photographs_of_one_pixel_or_line(size, scale, tmp_path):
    image = np.full((*size, 3), 90, np.uint8)
    given = {"image_id": "dot", "known": Marked(image, np.ones(size, bool), False)}
    (found,) = prepared([given], tmp_path, Recipe(scale=scale))
    assert found.labels.shape == tuple(max(1, round(side * scale)) for side in size)
    assert np.all(found.image == 128) and found.labels.all() and found.field.all()


def test_a_fundus_photograph_has_its_field_at_the_scale(tmp_path):
    from segjax.data.synthetic.fundus import generate_fundus

    made = generate_fundus(0, 96)
    known = Marked(made["image"], made["microaneurysms"][..., 0] > 0, False)
    (found,) = prepared([{"image_id": "a", "known": known}], tmp_path, Recipe(scale=0.5))
    true = cv2.resize(
        made["field_of_view"][..., 0].astype(np.float32), (48, 48), interpolation=cv2.INTER_AREA
    )
    assert np.mean((true >= 0.5) == (found.field > 0)) > 0.98


PROCESS = """
import sys
sys.path.insert(0, {root!r})
from tests.data.patches.test_photographs import example, prepared
def examples():
    yield example(0)
    print("begun", flush=True)
    input()  # until all have begun
    yield from map(example, (1, 2))
print([p.name for p in prepared(examples(), {folder!r})])
"""


def begun(folder):
    """A process that has begun to prepare a set, and waits for a line."""
    root = str(pathlib.Path(__file__).resolve().parents[3])
    code = PROCESS.format(root=root, folder=str(folder))
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([sys.executable, "-c", code], text=True, **pipes)


def test_processes_that_prepare_at_once_leave_one_whole_set(tmp_path):
    jobs = [begun(tmp_path) for _ in range(3)]
    for job in jobs:
        assert job.stdout.readline() == "begun\n"
    jobs[2].kill()  # what it leaves behind goes with the next set
    jobs[2].communicate()
    for job in jobs[:2]:
        output, errors = job.communicate("\n", timeout=120)
        assert job.returncode == 0 and not errors, errors
        assert output == "['eye0', 'eye1', 'eye2']\n"
    wanted = prepared(map(example, range(3)), tmp_path / "other")
    assert equal(prepared(untouched(), tmp_path), wanted)
    prepared([example(1)], tmp_path, key="digest/test")
    kept = [path for path in tmp_path.iterdir() if path.name != "other"]
    assert len(kept) == 2 and not any(path.name.startswith(".") for path in kept)
