"""Preparing sets from downloads as small as a test writes them, good ones and bad ones."""

import contextlib
import pathlib
import sys

import pytest
import tensorflow_datasets as tfds

from segjax.errors import UserError

WRONG_FOLDERS = ("missing", "empty", "other")


def prepare(builder_class, tmp_path, manual, config=None):
    builder = builder_class(
        data_dir=str(tmp_path / "prepared"), config=config, file_format="array_record"
    )
    settings = tfds.download.DownloadConfig(manual_dir=str(manual))
    builder.download_and_prepare(download_config=settings)
    return builder


def examples(builder, split):
    return {e["image_id"].decode(): e for e in builder.as_data_source(split=split)}


def check_refused(builder_class, tmp_path, manual, named, config=None):
    """Preparing ends in a UserError of one line that holds `named`, and leaves nothing behind."""
    with pytest.raises(UserError) as caught:
        prepare(builder_class, tmp_path, manual, config)
    message = str(caught.value)
    assert "\n" not in message
    for part in named:
        assert part in message
    left = [path.name for path in (tmp_path / "prepared").rglob("*") if path.is_file()]
    assert left in ([], ["metadata.json"])  # the list of configs, which TFDS writes first


_listening: list[set[pathlib.Path]] = []


def _hear(event, arguments):
    if event == "open" and _listening and isinstance(arguments[0], str):
        _listening[-1].add(pathlib.Path(arguments[0]))


@contextlib.contextmanager
def opened():
    """The files that are opened in the block."""
    if not hasattr(sys, "_segjax_tests_listen"):  # a hook stays as long as the process
        sys._segjax_tests_listen = True
        sys.addaudithook(_hear)
    _listening.append(set())
    try:
        yield _listening[-1]
    finally:
        _listening.pop()


def check_source(builder_class, tmp_path, manual, config=None):
    """`source_files` are those that preparing opens, by names that stay when they are moved."""
    for name in ("readme.txt", "archive.zip", ".DS_Store"):
        (manual / name).write_bytes(b"not of the set")
    with opened() as paths:
        builder = prepare(builder_class, tmp_path, manual, config)
    found = builder.source_files(manual)
    read = {path for path in paths if path.is_relative_to(manual)}
    assert read and set(found.values()) == read
    elsewhere = manual.rename(tmp_path / "elsewhere")
    moved = builder.source_files(elsewhere)
    assert {name: elsewhere / path.relative_to(manual) for name, path in found.items()} == moved


def wrong_folder(tmp_path, kind):
    """A manual_dir that holds nothing of the set: one of WRONG_FOLDERS."""
    wrong = tmp_path / "wrong"
    if kind != "missing":
        wrong.mkdir()
    if kind == "other":
        (wrong / "readme.txt").touch()
    return wrong
