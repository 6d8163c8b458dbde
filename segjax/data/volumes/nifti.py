"""Reads and writes NIfTI volumes (`.nii`, `.nii.gz`), saying plainly when a file is damaged.

Array axes are the file's axes reversed: (x, y, z) of the file is `[z, y, x]` here, and the spacing
stands in that order too. The affine stays the file's own, from (x, y, z) to millimetres.
"""

import contextlib
import dataclasses
import gzip
import itertools
import os
import pathlib
import struct
import zlib
from collections.abc import Collection, Mapping
from typing import BinaryIO

import numpy as np

from segjax.config import files
from segjax.errors import UserError

Path = str | os.PathLike

_GZIP_START = b"\x1f\x8b"
_LONGEST_HEADER = 540
_OTHER_UNITS = {1: "metres", 3: "micrometres"}  # lowest three bits of xyzt_units
# How far apart, in voxels, the corners of two volumes may lie that count as one grid: headers
# hold 32-bit numbers, and some programs recompute them.
_SAME_PLACE = 0.1


@dataclasses.dataclass(frozen=True, eq=False)
class Volume:
    """A volume and where it lies.

    Attributes:
        array: voxels `[z, y, x]`.
        spacing: float32 `(3,)`, millimetres along the axes of `array`.
        affine: float64 `(4, 4)`, from the file's (x, y, z) index to millimetres.
    """

    array: np.ndarray
    spacing: np.ndarray
    affine: np.ndarray


def read_volume(path: Path) -> Volume:
    """Reads the voxels of a NIfTI file as float32.

    Source: the NIfTI-1 and NIfTI-2 standards, <https://nifti.nimh.nih.gov>; parsed by nibabel.
    Departures: a checksum of the compression that does not fit is an error (nibabel never looks at
    it), and so is a voxel size of zero or below (nibabel puts 1 or the absolute value in silence).

    Args:
        path: the file. Whether it is compressed is read off its content, not off its name.

    Returns: float32 voxels `[z, y, x]`, scaled as the header says; trailing axes of length 1 (a
        single time point) are dropped.
    Raises: UserError naming the file, when it is missing, unreadable, not NIfTI, damaged or cut
        short, not three-dimensional, complex or coloured, has a voxel that is not finite, or a
        voxel size that is not a positive number of millimetres.
    Cost: the whole file is read; a scaled integer volume passes through float64.
    """
    voxels = _read(path)
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf, refused below
        array = np.ascontiguousarray(voxels.array, np.float32)
    if not np.isfinite(array).all():
        count = np.count_nonzero(~np.isfinite(array))
        raise UserError(f"{path}: {count} voxels are not finite numbers (NaN or infinite)")
    return dataclasses.replace(voxels, array=array)


def read_labels(
    path: Path, known: Collection[int], remap: Mapping[int, int] | None = None
) -> Volume:
    """Reads a NIfTI file of labels as uint8; floats are taken when they are whole numbers.

    Args:
        path: the file, as in `read_volume`.
        known: the labels that the file may hold, 0 included, of 0 to 255.
        remap: the labels to rename, old to new, afterwards.

    Returns: uint8 labels `[z, y, x]`.
    Empty cases: a file without any label but 0 passes.
    Raises: UserError as `read_volume`, and when a voxel holds anything but a known label.
    """
    voxels = _read(path)
    with np.errstate(invalid="ignore"):  # what does not fit into uint8 differs afterwards
        labels = np.ascontiguousarray(voxels.array.astype(np.uint8))
    differs = labels != voxels.array
    counts = sum(np.bincount(plane.ravel(), minlength=256) for plane in labels)
    strange = [value for value in np.flatnonzero(counts) if value not in known]
    if differs.any() or strange:
        value = voxels.array[differs].flat[0] if differs.any() else strange[0]
        taken = ", ".join(str(label) for label in sorted(known))
        raise UserError(f"{path}: holds the label {value:g}; taken are {taken}")
    if remap:
        renamed = np.arange(256, dtype=np.uint8)
        renamed[list(remap)] = list(remap.values())
        labels = renamed[labels]
    return dataclasses.replace(voxels, array=labels)


def write_labels(path: Path, labels: np.ndarray, affine: np.ndarray, spacing: np.ndarray) -> None:
    """Writes labels as a compressed NIfTI-1 file of uint8, whole or not at all.

    The same labels give the same bytes: no time of writing is noted.

    Args:
        path: the file, ending in `.nii.gz`; folders are made.
        labels: integers of 0 to 255, `[z, y, x]`.
        affine: `(4, 4)`, from (x, y, z) to millimetres, as `Volume.affine`.
        spacing: millimetres along z, y, x, as `Volume.spacing`.

    Raises: ValueError on another ending, rank, kind or range of labels; OSError when the file
        cannot be written.
    """
    import nibabel

    path, labels = pathlib.Path(path), np.asarray(labels)
    if not path.name.endswith(".nii.gz"):
        raise ValueError(f"`path` ends in .nii.gz, got {path}")
    if labels.ndim != 3 or labels.dtype.kind not in "bui":
        raise ValueError(f"`labels` takes integers [z, y, x], got {labels.dtype} {labels.shape}")
    if labels.size and not 0 <= labels.min() <= labels.max() <= 255:
        raise ValueError(f"`labels` takes 0 to 255, got {labels.min()} to {labels.max()}")
    image = nibabel.Nifti1Image(labels.astype(np.uint8).T, np.asarray(affine, np.float64))
    image.header.set_zooms([float(size) for size in spacing][::-1])
    image.header.set_xyzt_units("mm")
    with files.whole(path) as temporary:
        temporary.write_bytes(gzip.compress(image.to_bytes(), compresslevel=6, mtime=0))


def check_pair(image_path: Path, image: Volume, label_path: Path, labels: Volume) -> None:
    """Raises UserError unless two volumes, such as an image and its labels, share one voxel grid.

    Their shapes are equal, and their affines put no corner further apart than a tenth of a voxel.
    """
    if image.array.shape != labels.array.shape:
        sizes = ["x".join(map(str, volume.array.shape[::-1])) for volume in (labels, image)]
        raise UserError(f"{label_path}: has {sizes[0]} voxels, {image_path} has {sizes[1]}")
    ends = [(0, size - 1) for size in image.array.shape[::-1]]
    corners = np.array([(*corner, 1) for corner in itertools.product(*ends)], np.float64)
    apart = np.linalg.norm(corners @ (labels.affine - image.affine).T, axis=-1).max()
    if apart > _SAME_PLACE * image.spacing.min():
        raise UserError(
            f"{label_path}: its affine differs from that of {image_path}; "
            f"corners of the volume lie {apart:.3g} mm apart"
        )


def _read(path: Path) -> Volume:
    """The voxels `[z, y, x]` in the file's own type, or scaled."""
    import nibabel

    # Everything that parsing a damaged file is known to raise.
    damage = (OSError, EOFError, ValueError, TypeError, KeyError, OverflowError, MemoryError)
    damage += (struct.error, zlib.error, nibabel.filebasedimages.ImageFileError)
    damage += (nibabel.spatialimages.HeaderDataError, nibabel.wrapstruct.WrapStructError)
    try:
        file = open(path, "rb")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    with file:
        zipped = file.read(len(_GZIP_START)) == _GZIP_START
        file.seek(0)
        opened = gzip.GzipFile(fileobj=file) if zipped else contextlib.nullcontext(file)
        try:
            with opened as stream:
                return _parse(path, stream)
        except damage as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(f"{path}: damaged or cut short: {reason}") from error


def _parse(path: Path, stream: BinaryIO) -> Volume:
    import nibabel

    start = stream.read(_LONGEST_HEADER)
    if not start:
        raise UserError(f"{path}: the file is empty")
    if start[344:348] == b"n+1\0":
        kind = nibabel.Nifti1Image
    elif start[4:8] == b"n+2\0":
        kind = nibabel.Nifti2Image
    else:
        raise UserError(f"{path}: is not a NIfTI file (.nii or .nii.gz)")
    _check_header(path, kind.header_class(start[: kind.header_class.sizeof_hdr], check=False))
    stream.seek(0)
    # Without a memory map: the voxels have to be whole, and to outlive the open file.
    image = kind.from_file_map(kind.make_file_map({"image": stream}), mmap=False)
    array = np.asarray(image.dataobj)
    while stream.read(1 << 20):  # to the end, where gzip compares the checksum
        pass
    affine = np.array(image.affine, np.float64)
    if not np.isfinite(affine).all() or not np.linalg.det(affine[:3, :3]):
        raise UserError(f"{path}: its affine cannot be inverted: {affine[:3].tolist()}")
    spacing = np.array(image.header.get_zooms()[2::-1], np.float32)
    return Volume(array.reshape(array.shape[:3], order="F").T, spacing, affine)


def _check_header(path: Path, header) -> None:
    """Refuses by the header alone what is no three-dimensional volume of real numbers."""
    shape = header.get_data_shape()
    if len(shape) < 3 or any(size != 1 for size in shape[3:]) or not all(s > 0 for s in shape):
        came = "x".join(map(str, shape)) or "no"
        raise UserError(f"{path}: has {came} voxels; three axes are taken")
    kind = header.get_data_dtype()
    if kind.kind not in "iuf":
        name = {"c": "complex numbers", "V": "colours"}.get(kind.kind, str(kind))
        raise UserError(f"{path}: its voxels are {name}; real numbers are taken")
    sizes = [float(size) for size in header.get_zooms()[:3]]
    if not all(np.isfinite(size) and size > 0 for size in sizes):
        came = " x ".join(f"{size:g}" for size in sizes)
        raise UserError(f"{path}: its voxel size is {came}; three numbers above 0 are taken, in mm")
    if unit := _OTHER_UNITS.get(int(header["xyzt_units"]) & 7):
        raise UserError(f"{path}: its voxel size is in {unit}; millimetres are taken")
