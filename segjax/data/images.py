"""Reading photographs and masks from common kinds of files, saying plainly when one is damaged.

Pillow opens and decodes, because it raises where OpenCV is silent (a JPEG cut short comes back from
OpenCV as a half-grey picture). OpenCV decodes what has more than 8 bits a channel, because Pillow
keeps only the upper byte of 16-bit colour.
"""

import io
import os
import pathlib
import struct
import warnings
import zlib
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from segjax.errors import UserError

_PAGED = (".tif", ".tiff", ".gif")
_TIFF_STARTS = (b"II*\0", b"MM\0*")
_BITS_PER_SAMPLE, _PHOTOMETRIC, _ORIENTATION = 258, 262, 274  # TIFF tags; the last of EXIF too
_MIN_IS_WHITE = 0  # a value of _PHOTOMETRIC
# A bound on memory: as 16-bit RGB this is 600 MB
MOST_PIXELS = 100_000_000
# What brings rows and columns as stored upright, by orientation.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow raises on damaged files. Warning: where warnings are errors, so is a cut TIFF header.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError)
_DAMAGE += (struct.error, zlib.error, Warning)


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Reads a PNG, JPEG, TIFF, BMP or GIF file as 8-bit RGB.

    Grey is repeated in the three channels, a palette is looked up, transparency is dropped, and of
    several pages or frames the first is taken. An orientation noted in the file is applied,
    whatever its kind, to photographs and masks alike: rows and columns are those that a viewer
    shows, and points and masks are taken to be annotated there.

    Files with 16 bits a channel hold 8, 12 or 16 significant bits, which the file does not say. The
    largest value m of the picture decides: m <= 255 keeps the values, m <= 4095 gives
    round(v * 255 / 4095), anything larger round(v / 257).

    Args:
        path: the file.

    Returns:
        uint8 array `[h, w, 3]`, channels red, green, blue.

    Raises:
        UserError: the file is missing, empty, no picture, damaged or cut short, larger than
            100 megapixels, or stores floats or 32-bit integers.
    """
    return read_turned(path)[0]


def read_turned(path: str | os.PathLike) -> tuple[np.ndarray, bool]:
    """`read_image`, and whether an orientation noted in the file has turned or mirrored it."""
    picture, turn = _decode_turned(path, _read_bytes(path))
    if isinstance(picture, np.ndarray):
        return _to_8_bits(picture), turn != 1
    # Pillow warns when a palette with transparency in bytes goes straight to RGB
    if picture.mode in ("P", "PA") and "transparency" in picture.info:
        picture = picture.convert("RGBA")
    try:
        return np.array(picture.convert("RGB")), turn != 1
    except _DAMAGE as error:
        raise UserError(f"{path}: cannot turn mode {picture.mode!r} into RGB: {error}") from error


def read_mask(path: str | os.PathLike) -> np.ndarray:
    """Reads a binary mask: 1 where any colour channel is above 0, transparency ignored.

    The same mask comes stored as 0/1, as 0/255, as one bit, or as red on black through a palette;
    all of them read alike. A palette whose colours are all black says nothing: there the index
    counts instead, 0 being outside. Inside is one value or colour: more of them are what a
    resampling or a lossy compression leaves, and where it ends nobody can say.

    Args:
        path: the file, of any kind that `read_image` takes.

    Returns:
        uint8 array `[h, w]` of 0 and 1, upright as `read_image` gives its photograph.

    Raises:
        UserError: as `read_image`, and for a mask that holds several values beside 0.
    """
    picture = _decode(path, _read_bytes(path))
    if isinstance(picture, np.ndarray):
        values = picture
    elif picture.mode == "P":
        colours = np.zeros((256, 3), np.uint8)
        # Palettes may have fewer than 256 colours; an index beyond them counts as black
        known = np.array(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
        colours[: len(known)] = known
        values = np.asarray(picture)[..., None]
        values = colours[values[..., 0]] if colours.any() else values
    elif picture.mode in ("1", "L"):
        values = np.asarray(picture.convert("L"))[..., None]
    else:
        values = np.asarray(picture.convert("RGB"))
    # Above 0, not above the half of a range: the same mask comes as 0/1, 0/255 and a dark red
    inside = values.any(axis=-1)
    lit = values[inside]
    # Compared with the first one; `np.unique` sorts all pixels, and is only for the message
    if (lit != lit[:1]).any():
        levels = np.unique(lit, axis=0)
        raise UserError(
            f"{path}: holds {len(levels)} values beside 0 ({_examples(levels)}), a mask holds one; "
            "was it resampled, or saved with loss as JPEG is?"
        )
    return inside.astype(np.uint8)


def read_levels(path: str | os.PathLike, known: Sequence[int]) -> np.ndarray:
    """Reads a mask of grey levels that have a meaning each.

    Args:
        path: the file, of any kind that `read_image` takes.
        known: the levels, of 0 to 255.

    Returns:
        uint8 array `[h, w]`, upright as `read_image` gives its photograph.

    Raises:
        UserError: as `read_image`, and for pixels that are of another level, or coloured.
    """
    array = read_image(path)
    grey = array[..., 0]
    # No rounding to the nearest level: between 0 and 255 a resampled rim passes through 128, which
    # would be another class
    strange = ~np.isin(grey, np.array(known, np.uint8)) | (array != grey[..., None]).any(axis=-1)
    if strange.any():
        levels = np.unique(array[strange], axis=0)
        raise UserError(
            f"{path}: {np.count_nonzero(strange)} pixels hold other values ({_examples(levels)}) "
            f"than {', '.join(map(str, known))}; was it resampled, or saved with loss as JPEG is?"
        )
    return grey


def read_indices(path: str | os.PathLike) -> np.ndarray:
    """Reads a mask of class indices: those of a palette, or grey levels as they are.

    Args:
        path: the file, of any kind that `read_image` takes.

    Returns:
        uint8 array `[h, w]`, upright as `read_image` gives its photograph.

    Raises:
        UserError: as `read_image`, and for a mask that is coloured, or holds values above 255.
    """
    picture = _decode(path, _read_bytes(path))
    if isinstance(picture, np.ndarray):
        array = picture
    elif picture.mode == "P":
        array = np.asarray(picture)
    elif picture.mode in ("1", "L"):
        array = np.asarray(picture.convert("L"))
    else:
        array = np.asarray(picture.convert("RGB"))
    if array.ndim == 3:
        if (array != array[..., :1]).any():
            raise UserError(f"{path}: is coloured; --colours FILE.csv says what each colour means")
        array = array[..., 0]
    if array.max(initial=0) > 255:
        raise UserError(f"{path}: holds the value {array.max()}; indices of classes end at 255")
    return array.astype(np.uint8)


def is_plain_jpeg(path: str | os.PathLike) -> bool:
    """Whether a file is a JPEG of red, green and blue that is stored upright.

    Raises:
        UserError: as `read_image`; but a picture cut short passes.
    """
    picture = _open(path, _read_bytes(path))
    if picture is None:
        return False
    return picture.format == "JPEG" and picture.mode == "RGB" and _orientation(picture) == 1


def check_one_page(path: pathlib.Path) -> None:
    """UserError for a TIFF or GIF file of which reading would take the first page or frame only.

    By its headers alone; what is wrong with one that has none is said where it is read.
    """
    if path.suffix.lower() not in _PAGED:
        return
    try:
        with warnings.catch_warnings():  # Pillow's, of which reading speaks
            warnings.simplefilter("ignore")
            with Image.open(path) as picture:
                pages = getattr(picture, "n_frames", 1)
    except (*_DAMAGE, Image.DecompressionBombError):
        return
    if pages > 1:
        what = "frames" if path.suffix.lower() == ".gif" else "pages"
        raise UserError(f"{path}: holds {pages} {what}; save each as a file of its own")


def has_drawn_alpha(path: str | os.PathLike) -> bool:
    """Whether a file has an alpha channel that is not the same everywhere.

    Raises:
        UserError: as `read_image`.
    """
    picture = _open(path, _read_bytes(path))
    if picture is None or not picture.has_transparency_data:
        return False
    least, most = picture.convert("RGBA").getchannel("A").getextrema()
    return least < most


def _examples(levels: np.ndarray) -> str:
    """The first few of some grey levels or colours `[n, c]`, in words."""
    few = levels[:4]
    grey = (few == few[:, :1]).all(axis=-1)
    shown = [
        str(v[0]) if g else f"({', '.join(map(str, v))})" for v, g in zip(few, grey, strict=True)
    ]
    return ", ".join([*shown, *(["…"] if len(levels) > len(few) else [])])


def _read_bytes(path: str | os.PathLike) -> bytes:
    """The file's bytes, or a UserError that says why there are none."""
    path = pathlib.Path(path)
    if path.is_dir():
        raise UserError(f"{path}: is a folder, an image file is wanted")
    try:
        if path.exists() and not path.is_file():  # reading a pipe may wait for ever
            raise UserError(f"{path}: is no file, an image file is wanted")
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such image file") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not data:
        raise UserError(f"{path}: the image file is empty (0 bytes)")
    return data


def _decode(path: str | os.PathLike, data: bytes) -> Image.Image | np.ndarray:
    """The decoded Pillow picture; an array `[h, w, c]`, RGB or grey, if more than 8 bits deep.

    Either is upright.
    """
    return _decode_turned(path, data)[0]


def _decode_turned(path: str | os.PathLike, data: bytes) -> tuple[Image.Image | np.ndarray, int]:
    """`_decode`, and the orientation that the file notes."""
    picture = _open(path, data)
    if picture is None:
        turn, _ = _reset_tag(data, _ORIENTATION)
        return _decode_deep(path, data), turn if turn in _UPRIGHT else 1
    # Read before `load`, which turns a TIFF file upright and drops its tag: the deep decoder below
    # starts from the file's bytes again and needs it.
    turn = _orientation(picture)
    try:
        picture.load()
    except _DAMAGE as error:
        raise UserError(f"{path}: damaged or truncated image: {_line(error)}") from error
    if _is_deep(picture, data):
        return _decode_deep(path, data, turn), turn
    # Pillow has turned a TIFF file already, and taken its tag away.
    if (left := _orientation(picture)) != 1:
        return picture.transpose(_UPRIGHT[left]), left
    return picture, turn


def _open(path: str | os.PathLike, data: bytes) -> Image.Image | None:
    """The picture by its header, not decoded yet; None for a kind of TIFF that OpenCV may know."""
    try:
        with warnings.catch_warnings():  # Pillow's, for less than is refused here
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data))
    except Image.DecompressionBombError as error:  # for more than that
        raise _too_large(path) from error
    except UnidentifiedImageError as error:
        if data.startswith(_TIFF_STARTS):
            return None
        raise UserError(f"{path}: is not a PNG, JPEG, TIFF, BMP or GIF image") from error
    except _DAMAGE as error:
        raise UserError(f"{path}: damaged or truncated image: {_line(error)}") from error
    if picture.width * picture.height > MOST_PIXELS:
        raise _too_large(path, picture.size)
    return picture


def _orientation(picture: Image.Image) -> int:
    """The orientation that an opened picture notes: 1 (upright, or none) to 8, as EXIF has them."""
    try:
        turn = picture.getexif().get(_ORIENTATION, 1)
    except _DAMAGE:  # a damaged note on a picture that is whole
        return 1
    return turn if turn in _UPRIGHT else 1


def _upright_array(array: np.ndarray, turn: int) -> np.ndarray:
    """The same for an array: a transposition, then flips."""
    if turn >= 5:
        array = array.swapaxes(0, 1)
    if turn in (2, 3, 6, 7):
        # The eight orientations as EXIF numbers them: 5 to 8 swap the axes, then each axis may flip
        array = array[:, ::-1]
    return array[::-1] if turn in (3, 4, 7, 8) else array


def _too_large(path: str | os.PathLike, size: tuple[int, int] | None = None) -> UserError:
    given = f"{size[0]}x{size[1]} pixels are" if size else "is"
    most = f"{MOST_PIXELS // 1_000_000} megapixels, the most that is read"
    return UserError(f"{path}: {given} too large, above {most}; reduce it")


def _is_deep(picture: Image.Image, data: bytes) -> bool:
    """Whether a channel has more than 8 bits, which Pillow's mode alone does not tell."""
    if picture.mode[0] in "IF":
        return True
    if picture.format == "PNG":
        # Pillow opens 16-bit RGB as mode RGB
        return data[24] > 8  # the bit depth in the header chunk
    if picture.format == "TIFF":
        return max(picture.tag_v2.get(_BITS_PER_SAMPLE, (1,))) > 8
    return False


def _decode_deep(path: str | os.PathLike, data: bytes, turn: int = 1) -> np.ndarray:
    """The array `[h, w, c]`, upright; `turn` is the orientation, which a TIFF file says itself."""
    inverted = False
    if data.startswith(_TIFF_STARTS):
        # OpenCV gets the plain case, 1, since its versions differ over the others.
        turn, data = _reset_tag(data, _ORIENTATION)
        photometric, plain = _reset_tag(data, _PHOTOMETRIC)
        # Only then: the value of a colour picture, 2, has to stay
        if inverted := photometric == _MIN_IS_WHITE:
            data = plain
    try:
        array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise UserError(f"{path}: damaged or unsupported image: {_line(error)}") from error
    if array is None:
        raise UserError(f"{path}: damaged, truncated or unsupported image")
    if array.dtype not in (np.uint8, np.uint16):
        raise UserError(f"{path}: stores {array.dtype} values; 8 or 16 bits a channel are taken")
    if array.shape[0] * array.shape[1] > MOST_PIXELS:
        raise _too_large(path, array.shape[1::-1])
    if inverted:
        # Of the full range: the file does not say how many of its bits are used
        array = np.iinfo(array.dtype).max - array
    # OpenCV gives grey, or blue, green, red and perhaps alpha.
    array = array[..., None] if array.ndim == 2 else array[..., 2::-1]
    return _upright_array(array, turn)


def _reset_tag(data: bytes, tag: int) -> tuple[int, bytes]:
    """A tag of a TIFF file's first picture, 1 where it lacks, and the file with 1 in its place."""
    order = "<" if data[:1] == b"I" else ">"
    try:
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, start)
        # A directory is a count and entries of 12 bytes: tag, type, number of values, and the
        # value; a 16-bit value lies in the first two bytes of the last four.
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            if struct.unpack_from(f"{order}H", data, entry) == (tag,):
                (value,) = struct.unpack_from(f"{order}H", data, entry + 8)
                one = struct.pack(f"{order}H", 1)
                return value, data[: entry + 8] + one + data[entry + 10 :]
    except struct.error:  # cut short, as decoding will say
        pass
    return 1, data


def _to_8_bits(array: np.ndarray) -> np.ndarray:
    largest = int(array.max())
    if largest > 4095:
        array = np.rint(array / np.float32(257))
    elif largest > 255:
        array = np.rint(array * np.float32(255 / 4095))
    return np.ascontiguousarray(np.broadcast_to(array.astype(np.uint8), (*array.shape[:2], 3)))


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
