"""Reads and writes NIfTI volumes (`.nii`, `.nii.gz`), saying plainly when a file is damaged.

Array axes are the file's axes reversed: (x, y, z) of the file is `[z, y, x]` here, and the spacing
stands in that order too. The affine stays the file's own, from (x, y, z) to millimetres.
"""

import contextlib
import dataclasses
import gzip
import itertools
import math
import os
import pathlib
import struct
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np

from segjax import files
from segjax.data.outputs import nifti_mark
from segjax.data.volumes.nifti_header import check_affine, check_header
from segjax.errors import UserError

Path = str | os.PathLike

# Files are told by their content: names lie, as a .nii.gz that a browser has unpacked.
_GZIP_START = b"\x1f\x8b"
# Bytes of a NIfTI-2 header; that of NIfTI-1 has 348
_LONGEST_HEADER = 540
# How far apart, in voxels, the corners of two volumes may lie that count as one grid: headers
# hold 32-bit numbers, and some programs recompute them.
_SAME_PLACE = 0.1
_WIDE = 2  # how many times as far apart as pixels slices are that are told by their spacing
_WHOLE = 1e-3  # how far from a whole number a label may be, after scaling and rounding to float32


@dataclasses.dataclass(frozen=True, eq=False)
class Volume:
    """A volume and where it lies.

    Attributes:
        array: voxels `[z, y, x]`, or `[z, y, x, c]` of an image with channels.
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
    return _finite(path, _read(path))


def _finite(path: Path, voxels: Volume) -> Volume:
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf, refused below
        array = np.ascontiguousarray(voxels.array, np.float32)
    if not np.isfinite(array).all():
        count = np.count_nonzero(~np.isfinite(array))
        raise UserError(f"{path}: {count} voxels are not finite numbers (NaN or infinite)")
    return dataclasses.replace(voxels, array=array)


def count_channels(path: Path) -> int:
    """How many channels a NIfTI file holds by its header: 1 of three axes, else the fourth axis.

    Raises: UserError as `read_volume`, for what the header tells.
    """
    _, header = _opened(path, _header)
    return math.prod(header.get_data_shape()[3:])


def read_image(paths: Sequence[Path], channels: int, said: str) -> Volume:
    """Reads an image of several channels: a file each, or one file whose fourth axis they are.

    Args:
        paths: a file a channel in the channels' order, or a single file.
        channels: how many there are.
        said: by whom, for the message: `the model takes`.

    Returns: float32 voxels `[z, y, x, channels]` in the grid of the first file.
    Raises: UserError naming the file: as `read_volume`; of another number of channels; of a channel
        that lies on another grid than the first.
    Cost: as `read_volume`; all channels are held once, and the one that is read beside them.
    """
    if len(paths) == 1:
        image = _finite(paths[0], _read(paths[0], axes=4))
        if (found := image.array.shape[3]) != channels:
            axes = (*image.array.shape[2::-1], *([found] if found > 1 else []))
            holds = f"{found} channel{'s' if found > 1 else ''} ({'x'.join(map(str, axes))} voxels)"
            raise UserError(f"{paths[0]}: holds {holds}; {said} {channels}")
        return image
    first = read_volume(paths[0])
    # Filled channel by channel: stacking would hold all of them twice
    array = np.empty((*first.array.shape, len(paths)), np.float32)
    array[..., 0] = first.array
    for channel, path in enumerate(paths[1:], 1):
        volume = read_volume(path)
        check_pair(paths[0], first, path, volume)
        array[..., channel] = volume.array
    return dataclasses.replace(first, array=array)


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

    Their shapes are equal but for channels, and their affines put no corner further apart than a
    tenth of a voxel.
    """
    shapes = [volume.array.shape[:3] for volume in (labels, image)]
    if shapes[0] != shapes[1]:
        sizes = ["x".join(map(str, shape[::-1])) for shape in shapes]
        raise UserError(f"{label_path}: has {sizes[0]} voxels, {image_path} has {sizes[1]}")
    # An affine difference is linear, so it is largest at a corner: eight points decide
    ends = [(0, size - 1) for size in shapes[0][::-1]]
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


def _read(path: Path, axes: int = 3) -> Volume:
    """The voxels `[z, y, x]`, of four axes `[z, y, x, c]`, in the file's own type, or scaled."""
    return _opened(path, lambda path, stream: _parse(path, stream, axes))


def _opened(path: Path, parse: Callable[[pathlib.Path, BinaryIO], Any]) -> Any:
    """What `parse` makes of a file, unpacked; UserError naming it for whatever goes wrong."""
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
                return parse(path, stream)
        except damage as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(f"{path}: damaged or cut short: {reason}") from error


def _header(path: Path, stream: BinaryIO, axes: int = 4) -> tuple[type, Any]:
    """The kind of the file, and its header, checked."""
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
    header = kind.header_class(start[: kind.header_class.sizeof_hdr], check=False)
    check_header(path, header, axes)
    return kind, header


def _parse(path: Path, stream: BinaryIO, axes: int) -> Volume:
    kind, _ = _header(path, stream, axes)
    # Before any voxel is read: a header may claim more of them than memory holds.
    stream.seek(0)
    # Without a memory map: the voxels have to be whole, and to outlive the open file.
    image = kind.from_file_map(kind.make_file_map({"image": stream}), mmap=False)
    # In the file's own type where nothing is scaled: labels stay integers, and exact
    array = np.asarray(image.dataobj)
    while stream.read(1 << 20):  # to the end, where gzip compares the checksum
        pass
    affine = np.array(image.affine, np.float64)
    check_affine(path, affine, image.header)
    # x, y, z to z, y, x; a time after them is left out
    spacing = np.array(image.header.get_zooms()[2::-1], np.float32)
    # Voxels lie in Fortran order, x fastest; the transpose is then contiguous, without a copy
    voxels = array.reshape((*array.shape[:3], -1), order="F").transpose(2, 1, 0, 3)
    return Volume(voxels if axes == 4 else voxels[..., 0], spacing, affine)
