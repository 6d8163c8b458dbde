"""The cache of preprocessed cases: content, reuse, damage, and several processes."""

import concurrent.futures
import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from segjax.data import staging
from segjax.data.volumes import cases
from segjax.data.volumes.cases import prepare_cases
from segjax.data.volumes.preprocess import Recipe, preprocess, preprocess_labels
from segjax.errors import UserError

RECIPE = Recipe(spacing=(1.0, 1.0))
NAMES = {"key": "fake 1.0.0 train", "label": "fake train"}


def example(index):
    rng = np.random.default_rng(index)
    shape = (4 + index, 12, 10 + index)
    return {
        "image": np.pad(rng.uniform(1, 2, (*shape, 1)), ((0, 0), (2, 1), (0, 3), (0, 0))).astype(
            np.float32
        ),
        "labels": np.pad(rng.integers(0, 3, shape), ((0, 0), (2, 1), (0, 3))).astype(np.uint8),
        "spacing": np.float32([5, 1.5, 1.25]),
        "image_id": f"case{index}".encode() if index % 2 else f"case{index}",
    }


def examples(count=5):
    return [example(index) for index in range(count)]


def untouched():
    raise AssertionError("the examples were read again")
    yield


def equal(found, expected):
    return [case.name for case in found] == [case.name for case in expected] and all(
        np.array_equal(a.image, b.image)
        and np.array_equal(a.labels, b.labels)
        and np.array_equal(a.stored_labels, b.stored_labels)
        and a.geometry == b.geometry
        for a, b in zip(found, expected, strict=True)
    )


def test_cases_hold_what_preprocessing_gives(tmp_path):
    found = prepare_cases(examples(), RECIPE, tmp_path, **NAMES)
    assert [case.name for case in found] == [f"case{index}" for index in range(5)]
    for case, raw in zip(found, examples(), strict=True):
        image, geometry = preprocess(raw["image"], raw["spacing"], RECIPE)
        assert np.array_equal(case.image, image) and case.image.dtype == np.float32
        assert np.array_equal(case.labels, preprocess_labels(raw["labels"], geometry))
        assert np.array_equal(case.stored_labels, raw["labels"])
        assert case.labels.dtype == case.stored_labels.dtype == np.uint8
        assert case.geometry == geometry
        assert case.spacing == (5.0, 1.0, 1.0) and case.stored_spacing == (5.0, 1.5, 1.25)
        assert case.labels.shape == case.image.shape[:3] == geometry.shape_after
        for array in (case.image, case.labels, case.stored_labels):
            assert isinstance(array, np.memmap) and not array.flags.writeable


def test_a_set_is_made_once(tmp_path, capsys):
    first = prepare_cases(examples(), RECIPE, tmp_path, **NAMES)
    assert equal(prepare_cases(untouched(), RECIPE, tmp_path, **NAMES), first)
    assert len(os.listdir(tmp_path)) == 1
    captured = capsys.readouterr()
    assert not captured.out and not captured.err


def test_another_recipe_source_or_version_is_another_set(tmp_path, monkeypatch):
    prepare_cases(examples(1), RECIPE, tmp_path, **NAMES)
    prepare_cases(examples(1), Recipe(), tmp_path, **NAMES)
    prepare_cases(examples(1), RECIPE, tmp_path, key="fake 1.0.1 train", label="fake")
    monkeypatch.setattr(cases, "VERSION", cases.VERSION + 1)
    prepare_cases(examples(1), RECIPE, tmp_path, **NAMES)
    assert len(os.listdir(tmp_path)) == 4


def test_few_examples_are_read_ahead(tmp_path):
    read = []

    def stream():
        for index in range(9):
            read.append(index)
            yield example(index)

    made = cases._prepared(stream(), RECIPE, "fake")
    assert next(made)[0] == "case0" and len(read) <= cases.THREADS + 1
    assert len(list(made)) == 8


def cut(path):
    path.write_bytes(path.read_bytes()[:-3])


def reworded(path):
    index = json.loads(path.read_text())
    path.write_text(json.dumps({**index, "names": index["names"][1:]}))


@pytest.mark.parametrize(
    "name, damage",
    [
        ("image.npy", os.remove),
        ("image.npy", cut),
        ("labels.npy", lambda path: path.write_bytes(b"")),
        ("stored_labels.npy", lambda path: np.save(path, np.zeros(3, np.uint8))),
        ("cases.json", os.remove),
        ("cases.json", cut),
        ("cases.json", lambda path: path.write_bytes(b"\xff\x00")),
        ("cases.json", reworded),
    ],
)
def test_a_damaged_set_is_named_and_made_again(name, damage, tmp_path, capsys):
    expected = prepare_cases(examples(3), RECIPE, tmp_path / "a", **NAMES)
    prepare_cases(examples(3), RECIPE, tmp_path / "b", **NAMES)
    (place,) = (tmp_path / "b").iterdir()
    damage(place / name)
    assert equal(prepare_cases(examples(3), RECIPE, tmp_path / "b", **NAMES), expected)
    said = capsys.readouterr().err
    assert said.startswith("fake train: preparing again, because") and str(place / name) in said
    assert len(said.splitlines()) == 1
    assert equal(prepare_cases(untouched(), RECIPE, tmp_path / "b", **NAMES), expected)
    assert list((tmp_path / "b").iterdir()) == [place]


def broken(**changes):
    return [example(0), {**example(1), **changes}]


@pytest.mark.parametrize(
    "wrong, word",
    [
        (broken(labels=np.zeros((2, 2, 2), np.uint8)), "case case1: `labels`"),
        (broken(image=np.zeros((4, 4, 4), np.float32)), "case case1: `image`"),
        (broken(spacing=np.float32([0, 1, 1])), "case case1: `spacing`"),
        (broken(image_id="case0"), "two cases have the name case0"),
        ([], "no case"),
    ],
)
def test_wrong_examples_are_named_and_leave_nothing(wrong, word, tmp_path):
    with pytest.raises(UserError, match="^fake train: ") as error:
        prepare_cases(wrong, RECIPE, tmp_path, **NAMES)
    assert word in str(error.value)
    assert not os.listdir(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"):
        prepare_cases(examples(1), RECIPE, tmp_path / "file", **NAMES)


def test_an_interruption_leaves_nothing(tmp_path):
    def stream():
        yield example(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_cases(stream(), RECIPE, tmp_path, **NAMES)
    assert not os.listdir(tmp_path)


def test_several_at_once_end_with_one_whole_set(tmp_path):
    together = threading.Barrier(3)

    def stream():
        together.wait()
        yield from examples(3)
        together.wait()

    def make(_):
        return prepare_cases(stream(), RECIPE, tmp_path, **NAMES)

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        found = list(pool.map(make, range(3)))
    assert equal(found[0], found[1]) and equal(found[1], found[2])
    assert len(os.listdir(tmp_path)) == 1
    assert equal(prepare_cases(untouched(), RECIPE, tmp_path, **NAMES), found[0])


def test_a_set_that_another_process_finished_first_is_kept(tmp_path):
    program = f"""
from segjax.data.volumes.cases import prepare_cases
from tests.data.volumes import test_cases as t
prepare_cases(t.examples(2), t.RECIPE, {str(tmp_path)!r}, **t.NAMES)
"""

    def stream():
        yield from examples(2)
        subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)
        (place,) = (path for path in tmp_path.iterdir() if not path.name.startswith("."))
        inode.append(place.stat().st_ino)

    inode = []
    prepare_cases(stream(), RECIPE, tmp_path, **NAMES)
    (place,) = tmp_path.iterdir()
    assert inode == [place.stat().st_ino]


def test_what_a_killed_process_left_goes_and_what_a_living_one_writes_stays(tmp_path):
    prepare_cases(examples(1), RECIPE, tmp_path, **NAMES)
    (place,) = tmp_path.iterdir()
    with staging.folder(tmp_path, place.name) as living:
        killed = living.with_name(living.name[:-8] + "k1lled00")
        killed.mkdir()
        (killed / "image.npy").write_bytes(b"1")
        (place / "cases.json").unlink()
        prepare_cases(examples(1), RECIPE, tmp_path, **NAMES)
        assert sorted(tmp_path.iterdir()) == sorted([place, living])
