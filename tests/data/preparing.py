"""Preparing sets from downloads as small as a test writes them, good ones and bad ones."""

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


def wrong_folder(tmp_path, kind):
    """A manual_dir that holds nothing of the set: one of WRONG_FOLDERS."""
    wrong = tmp_path / "wrong"
    if kind != "missing":
        wrong.mkdir()
    if kind == "other":
        (wrong / "readme.txt").touch()
    return wrong
