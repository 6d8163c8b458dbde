"""Reading photographs and masks from common kinds of files, saying plainly when one is damaged.

Pillow opens and decodes, because it raises where OpenCV is silent (a JPEG cut short comes back from
OpenCV as a half-grey picture). OpenCV decodes what has more than 8 bits a channel, because Pillow
keeps only the upper byte of 16-bit colour.
"""

import io
import os
import pathlib
import struct
import zlib

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from segjax.errors import UserError

_TIFF_STARTS = (b"II*\0", b"MM\0*")
_BITS_PER_SAMPLE = 258  # TIFF tag
# What Pillow raises on damaged files. Warning: where warnings are errors, so is a cut TIFF header.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError)
_DAMAGE += (struct.error, zlib.error, Image.DecompressionBombError, Warning)


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Reads a PNG, JPEG, TIFF, BMP or GIF file as 8-bit RGB.

    Grey is repeated in the three channels, a palette is looked up, transparency is dropped, and of
    several pages or frames the first is taken. An orientation noted in EXIF is not applied: rows
    and columns are those stored in the file, which is also the frame annotations count in.

    Files with 16 bits a channel hold 8, 12 or 16 significant bits, which the file does not say. The
    largest value m of the picture decides: m <= 255 keeps the values, m <= 4095 gives
    round(v * 255 / 4095), anything larger round(v / 257).

    Args:
        path: the file.

    Returns:
        uint8 array `[h, w, 3]`, channels red, green, blue.

    Raises:
        UserError: the file is missing, empty, no picture, damaged or cut short, or stores floats or
            32-bit integers.
    """
    data = _read_bytes(path)
    picture = _decode(path, data)
    if isinstance(picture, np.ndarray):
        return _to_8_bits(picture)
    if picture.mode in ("P", "PA") and "transparency" in picture.info:
        picture = picture.convert("RGBA")
    try:
        return np.array(picture.convert("RGB"))
    except _DAMAGE as error:
        raise UserError(f"{path}: cannot turn mode {picture.mode!r} into RGB: {error}") from error


def read_mask(path: str | os.PathLike) -> np.ndarray:
    """Reads a binary mask: 1 where any colour channel is above 0, transparency ignored.

    The same mask comes stored as 0/1, as 0/255, as one bit, or as red on black through a palette;
    all of them read alike. A palette whose colours are all black says nothing: there the index
    counts instead, 0 being outside.

    Args:
        path: the file, of any kind that `read_image` takes.

    Returns:
        uint8 array `[h, w]` of 0 and 1.

    Raises:
        UserError: as `read_image`.
    """
    picture = _decode(path, _read_bytes(path))
    if isinstance(picture, np.ndarray):
        inside = picture.any(axis=-1)
    elif picture.mode == "P":
        colours = np.array(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
        lit = np.zeros(256, bool)
        lit[: len(colours)] = colours.any(axis=-1)
        if not lit.any():
            lit[1:] = True
        inside = lit[np.asarray(picture)]
    elif picture.mode in ("1", "L"):
        inside = np.asarray(picture) > 0
    else:
        inside = np.asarray(picture.convert("RGB")).any(axis=-1)
    return inside.astype(np.uint8)


def image_size(path: str | os.PathLike) -> tuple[int, int]:
    """Reads `(width, height)` in pixels from the file's header, without decoding the picture.

    Raises:
        UserError: the file is missing, empty or no picture. A picture cut short passes.
    """
    try:
        with Image.open(path) as picture:
            return picture.size
    except _DAMAGE:
        height, width = read_image(path).shape[:2]
        return width, height


def _read_bytes(path: str | os.PathLike) -> bytes:
    """The file's bytes, or a UserError that says why there are none."""
    path = pathlib.Path(path)
    if path.is_dir():
        raise UserError(f"{path}: is a folder, an image file is wanted")
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such image file") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not data:
        raise UserError(f"{path}: the image file is empty (0 bytes)")
    return data


def _decode(path: str | os.PathLike, data: bytes) -> Image.Image | np.ndarray:
    """The decoded Pillow picture; an array `[h, w, c]`, RGB or grey, if more than 8 bits deep."""
    try:
        picture = Image.open(io.BytesIO(data))
    except UnidentifiedImageError as error:
        if data.startswith(_TIFF_STARTS):
            return _decode_deep(path, data)
        raise UserError(f"{path}: is not a PNG, JPEG, TIFF, BMP or GIF image") from error
    except _DAMAGE as error:
        raise UserError(f"{path}: damaged or truncated image: {_line(error)}") from error
    try:
        picture.load()
    except _DAMAGE as error:
        raise UserError(f"{path}: damaged or truncated image: {_line(error)}") from error
    return _decode_deep(path, data) if _is_deep(picture, data) else picture


def _is_deep(picture: Image.Image, data: bytes) -> bool:
    """Whether a channel has more than 8 bits, which Pillow's mode alone does not tell."""
    if picture.mode[0] in "IF":
        return True
    if picture.format == "PNG":
        return data[24] > 8  # the bit depth in the header chunk
    if picture.format == "TIFF":
        return max(picture.tag_v2.get(_BITS_PER_SAMPLE, (1,))) > 8
    return False


def _decode_deep(path: str | os.PathLike, data: bytes) -> np.ndarray:
    try:
        array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise UserError(f"{path}: damaged or unsupported image: {_line(error)}") from error
    if array is None:
        raise UserError(f"{path}: damaged, truncated or unsupported image")
    if array.dtype not in (np.uint8, np.uint16):
        raise UserError(f"{path}: stores {array.dtype} values; 8 or 16 bits a channel are taken")
    if array.ndim == 2:
        return array[..., None]
    return array[..., 2::-1]  # OpenCV gives blue, green, red and perhaps alpha


def _to_8_bits(array: np.ndarray) -> np.ndarray:
    largest = int(array.max())
    if largest > 4095:
        array = np.rint(array / np.float32(257))
    elif largest > 255:
        array = np.rint(array * np.float32(255 / 4095))
    return np.ascontiguousarray(np.broadcast_to(array.astype(np.uint8), (*array.shape[:2], 3)))


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
