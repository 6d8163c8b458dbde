"""The digest of a prepared set: of its content alone, and kept beside it."""

import hashlib
import json
import pathlib
import shutil
import struct

import cv2
import numpy as np
import pytest

from segjax.data import digest, store

NAME = "synthetic_cardiac/32px_1_1_1"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("first")
    made = store.builder(NAME, str(folder))
    store.prepare(made)
    return made


def kept(made):
    return pathlib.Path(made.data_path) / digest.NAME


def sized(*parts):
    return b"".join(len(part).to_bytes(8, "little") + part for part in parts)


def test_an_example_is_its_fields_by_name_type_and_shape():
    example = {"b": np.float32([[1, 2]]), "a": b"text"}
    wanted = sized(b"a", b"text", b"b", b"<f4(1, 2)", struct.pack("<2f", 1, 2))
    assert digest.of_example(example) == hashlib.sha256(wanted).digest()
    strided = {"a": "text", "b": np.asfortranarray(np.zeros((1, 4), np.float32))[:, ::2]}
    strided["b"] = strided["b"].astype(">f4")
    strided["b"][0] = (1, 2)
    assert digest.of_example(strided) == digest.of_example(example)
    for other in (np.float64([[1, 2]]), np.float32([1, 2]), np.float32([[1, 3]]), [1.0, 2.0]):
        assert digest.of_example(example | {"b": other}) != digest.of_example(example)
    assert digest.of_example({"a": {"b": 1}}) != digest.of_example({"a": {"c": 1}})


def test_a_lossless_picture_is_its_pixels_and_a_photograph_its_bytes():
    pixels = np.random.default_rng(0).integers(0, 255, (9, 7), np.uint8)
    hard, soft = (
        cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, level])[1].tobytes()
        for level in (0, 9)
    )
    assert hard != soft
    assert digest.of_example({"mask": hard}) == digest.of_example({"mask": soft})
    other = cv2.imencode(".png", pixels ^ 1)[1].tobytes()
    assert digest.of_example({"mask": other}) != digest.of_example({"mask": hard})
    photographs = [
        cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, q])[1].tobytes() for q in (90, 95)
    ]
    assert len({digest.of_example({"image": data}) for data in photographs}) == 2


def test_the_same_files_prepared_twice_have_one_digest(prepared, tmp_path):
    again = store.builder(NAME, str(tmp_path / "elsewhere"))
    store.prepare(again)
    assert digest.of(again) == digest.of(prepared)
    other = store.builder("synthetic_cardiac/32px_1_1_2", str(tmp_path))
    store.prepare(other)
    assert digest.of(other) != digest.of(prepared)


def test_a_set_appears_with_its_digest(prepared):
    assert digest.known(kept(prepared).parent) == json.loads(kept(prepared).read_text())["digest"]
    assert len(digest.of(prepared)) == 64


def copied(prepared, folder):
    shutil.copytree(pathlib.Path(prepared.data_path).parents[2], folder)
    return store.builder(NAME, str(folder))


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"version": 1, "digest": "x"}', "\0"])
def test_an_older_set_gets_its_digest_once_and_keeps_it(prepared, tmp_path, text, monkeypatch):
    made = copied(prepared, tmp_path / "moved")
    kept(made).unlink() if text is None else kept(made).write_text(text)
    assert digest.known(kept(made).parent) is None
    assert digest.of(made) == digest.of(prepared)
    monkeypatch.setattr(digest, "_compute", lambda made: pytest.fail("computed again"))
    assert digest.of(store.builder(NAME, str(tmp_path / "moved"))) == digest.of(prepared)


def test_shards_that_were_replaced_are_read_again(prepared, tmp_path):
    made = copied(prepared, tmp_path / "replaced")
    other = store.builder("synthetic_cardiac/32px_1_1_1", str(tmp_path / "other"))
    store.prepare(other)
    shard = pathlib.Path(made.info.splits["train"].filepaths[0])
    donor = pathlib.Path(other.info.splits["validation"].filepaths[0])
    before = digest.known(shard.parent)
    shutil.copyfile(donor, shard)
    assert digest.known(shard.parent) is None
    assert digest.of(made) not in (before, None)
    assert digest.known(shard.parent) == digest.of(made)
    shutil.copyfile(pathlib.Path(prepared.info.splits["train"].filepaths[0]), shard)
    assert digest.of(made) == before == digest.of(prepared)


def test_where_nothing_can_be_written_it_is_computed_once_a_process(
    prepared, tmp_path, monkeypatch
):
    made = copied(prepared, tmp_path / "read_only")
    kept(made).unlink()

    def refuse(path, text):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(digest, "write_text", refuse)
    assert digest.of(made) == digest.of(prepared) and not kept(made).exists()
    monkeypatch.setattr(digest, "_compute", lambda made: pytest.fail("computed again"))
    assert digest.of(made) == digest.of(prepared)


def test_names_of_classes_are_content(prepared, monkeypatch):
    found = digest._compute(prepared)
    assert found == digest.of(prepared)
    feature = prepared.info.features["phase"]
    monkeypatch.setattr(type(feature), "names", ["ES", "ED"])
    assert digest._compute(prepared) != found
