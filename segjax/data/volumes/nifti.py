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
from collections.abc import Collection, Mapping, Sequence
from typing import BinaryIO

import numpy as np

from segjax import files
from segjax.data.outputs import nifti_mark
from segjax.errors import UserError

Path = str | os.PathLike

# Files are told by their content: names lie, as a .nii.gz that a browser has unpacked.
_GZIP_START = b"\x1f\x8b"
# Bytes of a NIfTI-2 header; that of NIfTI-1 has 348
_LONGEST_HEADER = 540
_OTHER_UNITS = {1: "metres", 3: "micrometres"}  # lowest three bits of xyzt_units
# How far apart, in voxels, the corners of two volumes may lie that count as one grid: headers
# hold 32-bit numbers, and some programs recompute them.
_SAME_PLACE = 0.1
_SAME_SIZE = 0.01  # how far voxel sizes may differ, as a share, that headers give in two ways
_WIDE = 2  # how many times as far apart as pixels slices are that are told by their spacing
_WHOLE = 1e-3  # how far from a whole number a label may be, after scaling and rounding to float32


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
    """Reads a NIfTI file of labels as uint8; floats within 0.001 of a whole number are rounded.

    Args:
        path: the file, as in `read_volume`.
        known: the labels that the file may hold, 0 included, of 0 to 255.
        remap: the labels to rename, old to new, afterwards.

    Returns: uint8 labels `[z, y, x]`.
    Empty cases: a file without any label but 0 passes.
    Raises: UserError as `read_volume`, and when a voxel holds anything but a known label.
    """
    voxels = _read(path)
    labels, strange = _whole(voxels.array)
    if strange is None:
        # Counted plane by plane: bincount turns what it is given into 64-bit integers, eight times
        # the volume's size
        counts = sum(np.bincount(plane.ravel(), minlength=256) for plane in labels)
        strange = next((v for v in np.flatnonzero(counts) if v not in known), None)
    if strange is not None:
        taken = ", ".join(str(label) for label in sorted(known))
        shown = np.format_float_positional(strange, trim="-")
        raise UserError(f"{path}: holds the label {shown}; taken are {taken}")
    if remap:
        # One look-up for all voxels, after the check, so that messages show the file's own labels;
        # replacing one label after the other could rename a voxel twice.
        renamed = np.arange(256, dtype=np.uint8)
        renamed[list(remap)] = list(remap.values())
        labels = renamed[labels]
    return dataclasses.replace(voxels, array=labels)


def _whole(array: np.ndarray) -> tuple[np.ndarray, np.generic | None]:
    """Values as uint8, and the first one that is too far from any such whole number."""
    with np.errstate(invalid="ignore"):  # what does not fit into uint8 differs afterwards
        rounded = np.rint(array) if array.dtype.kind == "f" else array
        labels = np.ascontiguousarray(rounded.astype(np.uint8))
        differs = labels != rounded
        if rounded is not array:
            differs |= ~(np.abs(rounded - array) <= _WHOLE)  # NaN is no nearer than that
    return labels, array[differs].flat[0] if differs.any() else None


def write_labels(path: Path, labels: np.ndarray, affine: np.ndarray, spacing: np.ndarray) -> None:
    """Writes labels as a compressed NIfTI-1 file of uint8, whole or not at all.

    The same labels give the same bytes: no time of writing is noted. The header's description is
    `outputs.nifti_mark`, by which `outputs.is_own` knows the file again.

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
    voxels = labels.astype(np.uint8)
    # Transposed: nibabel takes (x, y, z)
    image = nibabel.Nifti1Image(voxels.T, np.asarray(affine, np.float64))
    # nibabel takes sizes from the affine's columns; the file's own may differ by rounding, and stay
    image.header.set_zooms([float(size) for size in spacing][::-1])
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = nifti_mark(voxels.tobytes())
    files.write_bytes(path, gzip.compress(image.to_bytes(), compresslevel=6, mtime=0))


def check_pair(image_path: Path, image: Volume, label_path: Path, labels: Volume) -> None:
    """Raises UserError unless two volumes, such as an image and its labels, share one voxel grid.

    Their shapes are equal, and their affines put no corner further apart than a tenth of a voxel.
    """
    if image.array.shape != labels.array.shape:
        sizes = ["x".join(map(str, volume.array.shape[::-1])) for volume in (labels, image)]
        raise UserError(f"{label_path}: has {sizes[0]} voxels, {image_path} has {sizes[1]}")
    # An affine difference is linear, so it is largest at a corner: eight points decide
    ends = [(0, size - 1) for size in image.array.shape[::-1]]
    corners = np.array([(*corner, 1) for corner in itertools.product(*ends)], np.float64)
    apart = np.linalg.norm(corners @ (labels.affine - image.affine).T, axis=-1).max()
    if apart > _SAME_PLACE * image.spacing.min():
        raise UserError(
            f"{label_path}: its affine differs from that of {image_path}; "
            f"corners of the volume lie {apart:.3g} mm apart"
        )


def in_order(path: Path, volume: Volume, order: Sequence[int]) -> Volume:
    """The volume with the file's axes brought into an order of the body's, as its affine has them.

    Axes change places and none is flipped, so every voxel keeps its place in millimetres.

    Args:
        path: of the file, for messages.
        volume: as read, or with channels after the axes.
        order: the axis of the body that each axis of the file shall be nearest to: 0 for right and
            left, 1 for front and back, 2 for head and foot, along which the slices lie.

    Raises: UserError as `check_slices`, where the spacing says otherwise than the affine.
    """
    given = _body_axes(volume.affine)
    check_slices(path, volume, slices_by_affine(volume))
    files = [given.index(axis) for axis in order]  # old places of the new axes, in the file
    # Axis i of the file is axis 2 - i of the array
    arrays = [2 - axis for axis in files[::-1]]
    beyond = range(3, volume.array.ndim)
    return Volume(
        np.ascontiguousarray(volume.array.transpose(*arrays, *beyond)),
        volume.spacing[arrays],
        # Columns change places with the axes: each voxel keeps its place in millimetres
        volume.affine[:, [*files, 3]],
    )


def slices_by_affine(volume: Volume) -> int:
    """The axis of the array along which axial slices lie: the nearest to head and foot."""
    return 2 - _body_axes(volume.affine).index(2)


def _body_axes(affine: np.ndarray) -> list[int]:
    """For each axis of the file the axis of the body that is nearest, as `in_order` counts them."""
    import nibabel

    return nibabel.io_orientation(affine)[:, 0].astype(int).tolist()


def check_slices(path: Path, volume: Volume, axis: int) -> None:
    """Raises UserError when the spacing says that the slices lie along another axis of the array.

    It does where one axis is more than twice as coarse as both others.
    """
    widest = int(np.argmax(volume.spacing))
    # Compared with the second largest: nearly isotropic volumes say nothing about their slices
    second = float(np.sort(volume.spacing)[1])
    if widest != axis and float(volume.spacing[widest]) > _WIDE * second:
        told = " x ".join(f"{size:g}" for size in volume.spacing[::-1])
        raise UserError(
            f"{path}: its slices should lie along {'zyx'[axis]} and its spacing, {told} mm along "
            f"x, y, z, says {'zyx'[widest]}; reorder its axes, or mend its header"
        )


def _read(path: Path) -> Volume:
    """The voxels `[z, y, x]` in the file's own type, or scaled."""
    import nibabel

    path = pathlib.Path(path)
    # Everything that parsing a damaged file is known to raise.
    # MemoryError: a damaged header may ask for any number of voxels.
    damage = (OSError, EOFError, ValueError, TypeError, KeyError, OverflowError, MemoryError)
    damage += (struct.error, zlib.error, nibabel.filebasedimages.ImageFileError)
    damage += (nibabel.spatialimages.HeaderDataError, nibabel.wrapstruct.WrapStructError)
    try:
        # Reading a pipe may wait for ever.
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise UserError(f"{path}: is no file, a volume is wanted")
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
    # The magic words of the standards; `ni1` is half of a pair .hdr/.img, which has no voxels here
    if start[344:348] == b"n+1\0":
        kind = nibabel.Nifti1Image
    elif start[4:8] == b"n+2\0":
        kind = nibabel.Nifti2Image
    else:
        raise UserError(f"{path}: is not a NIfTI file (.nii or .nii.gz)")
    # Unchecked, for nibabel's check mends in silence what ours refuses
    _check_header(path, kind.header_class(start[: kind.header_class.sizeof_hdr], check=False))
    # Before any voxel is read: a header may claim more of them than memory holds.
    stream.seek(0)
    # Without a memory map: the voxels have to be whole, and to outlive the open file.
    image = kind.from_file_map(kind.make_file_map({"image": stream}), mmap=False)
    # In the file's own type where nothing is scaled: labels stay integers, and exact
    array = np.asarray(image.dataobj)
    while stream.read(1 << 20):  # to the end, where gzip compares the checksum
        pass
    affine = np.array(image.affine, np.float64)
    _check_affine(path, affine, image.header)
    # x, y, z to z, y, x; a time after them is left out
    spacing = np.array(image.header.get_zooms()[2::-1], np.float32)
    # Voxels lie in Fortran order, x fastest; the transpose is then contiguous, without a copy
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
    starts = int(header["sizeof_hdr"]) + 4  # the header, and the word that says what follows
    # Written so that a nan fails
    if not float(header["vox_offset"]) >= starts:
        raise UserError(
            f"{path}: its vox_offset is {float(header['vox_offset']):g}, within the header; voxels "
            f"begin at {starts} or later"
        )
    if unit := _OTHER_UNITS.get(int(header["xyzt_units"]) & 7):
        raise UserError(f"{path}: its voxel size is in {unit}; millimetres are taken")


def _check_affine(path: Path, affine: np.ndarray, header) -> None:
    """Refuses an affine that is none, and one that contradicts the rest of the header."""
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
