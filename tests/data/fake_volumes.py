"""Small NIfTI files in the layout of official downloads, and preparing sets from them."""

import nibabel
import numpy as np
import pytest
import tensorflow_datasets as tfds

from segjax.errors import UserError


def write(path, array, spacing, *, shift=0.0):
    """An array in the order of the file's axes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([-spacing[0], spacing[1], spacing[2], 1.0])
    affine[:3, 3] = (90 + shift, -126, -72)
    nibabel.save(nibabel.Nifti1Image(array, affine), path)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


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
