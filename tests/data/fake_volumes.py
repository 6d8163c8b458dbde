"""Small NIfTI files, and ways to spoil files."""

import nibabel
import numpy as np


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
