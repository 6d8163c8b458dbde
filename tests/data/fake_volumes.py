"""Small NIfTI files, and ways to spoil files."""

import nibabel
import numpy as np


def write(path, array, spacing, *, shift=0.0, axes=(0, 1, 2)):
    """An array in the order of the file's axes, which lie along the `axes` of the body."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.zeros((4, 4))
    affine[axes, range(3)] = np.multiply(spacing, (-1, 1, 1))
    affine[:, 3] = (90 + shift, -126, -72, 1)
    nibabel.save(nibabel.Nifti1Image(array, affine), path)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
