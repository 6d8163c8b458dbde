"""What the header of a NIfTI file may not say; each is refused by a line that names the file."""

import os
from typing import Any

import numpy as np

from segjax.errors import UserError

Path = str | os.PathLike

_OTHER_UNITS = {1: "metres", 3: "micrometres"}  # lowest three bits of xyzt_units
_SAME_SIZE = 0.01  # how far voxel sizes may differ, as a share, that headers give in two ways


def check_header(path: Path, header: Any, axes: int) -> None:
    """UserError by the header alone for what is no volume of real numbers with sizes in mm.

    Args:
        path: of the file, for messages.
        header: of nibabel, as the file has it.
        axes: how many are taken at most, 3 or 4; further ones may have length 1.
    """
    shape = header.get_data_shape()
    if len(shape) < 3 or any(size != 1 for size in shape[axes:]) or not all(s > 0 for s in shape):
        came, taken = "x".join(map(str, shape)) or "no", {3: "three", 4: "three or four"}[axes]
        raise UserError(f"{path}: has {came} voxels; {taken} axes are taken")
    kind = header.get_data_dtype()
    if kind.kind not in "iuf":
        name = {"c": "complex numbers", "V": "colours"}.get(kind.kind, str(kind))
        raise UserError(f"{path}: its voxels are {name}; real numbers are taken")
    sizes = [float(size) for size in header.get_zooms()[:3]]
    if not all(np.isfinite(size) and size > 0 for size in sizes):
        came = " x ".join(f"{size:g}" for size in sizes)
        raise UserError(f"{path}: its voxel size is {came}; three numbers above 0 are taken, in mm")
    starts = int(header["sizeof_hdr"]) + 4  # the header, and the word that says what follows
    # Written so that a nan fails
    if not float(header["vox_offset"]) >= starts:
        raise UserError(
            f"{path}: its vox_offset is {float(header['vox_offset']):g}, within the header; voxels "
            f"begin at {starts} or later"
        )
    if unit := _OTHER_UNITS.get(int(header["xyzt_units"]) & 7):
        raise UserError(f"{path}: its voxel size is in {unit}; millimetres are taken")


def check_affine(path: Path, affine: np.ndarray, header: Any) -> None:
    """UserError for an affine that is none, and one that contradicts the rest of the header."""
    if not np.isfinite(affine).all() or not np.linalg.det(affine[:3, :3]):
        raise UserError(f"{path}: its affine cannot be inverted: {affine[:3].tolist()}")
    sizes = np.array(header.get_zooms()[:3], np.float64)
    # Columns of an affine without shear are the voxel's edges in mm
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if (np.abs(lengths - sizes) > _SAME_SIZE * sizes).any():
        told, drawn = (" x ".join(f"{v:.6g}" for v in values) for values in (sizes, lengths))
        raise UserError(
            f"{path}: its voxel size is {told} mm by pixdim, {drawn} mm by the affine's columns; "
            "one of them is wrong"
        )
    # 1 for right angles. Distances in mm along the axes, which metrics take, hold for no others.
    share = abs(np.linalg.det(affine[:3, :3])) / lengths.prod()
    if share < 1 - _SAME_SIZE:
        raise UserError(
            f"{path}: its axes are not at right angles (a voxel holds {share:.4g} of the product "
            "of its sizes); resample it to a grid that is"
        )
    # A form counts where its code is not 0; only the directions of the two are compared
    forms = [form for form, code in (header.get_sform(True), header.get_qform(True)) if code]
    turned = [_directions(form) for form in forms]
    if len(turned) == 2 and turned[0] != turned[1]:
        raise UserError(
            f"{path}: its axes point to {turned[0]} by sform, to {turned[1]} by qform; "
            "one of them is wrong"
        )


def _directions(affine: np.ndarray) -> str:
    """The directions that the file's axes point to, nearest of right, anterior, superior: RAS."""
    import nibabel

    return "".join(nibabel.aff2axcodes(affine))
