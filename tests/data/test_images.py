import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from segjax.data import images
from segjax.data.images import is_plain_jpeg, read_image, read_levels, read_mask
from segjax.errors import UserError


@pytest.fixture
def colour():
    """Smooth enough that JPEG keeps it within a few grey values; every channel differs."""
    y, x = np.mgrid[:24, :40]
    return np.stack([x * 6, y * 10, 255 - x * 3 - y * 5], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("kind", ["png", "tif", "bmp"])
def test_colour_files_read_back_exactly(tmp_path, colour, kind):
    path = tmp_path / f"a.{kind}"
    Image.fromarray(colour).save(path)
    image = read_image(path)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, colour)


def test_jpeg_reads_back_nearly(tmp_path, colour):
    Image.fromarray(colour).save(tmp_path / "a.JPG", quality=97, subsampling=0)
    difference = read_image(tmp_path / "a.JPG").astype(int) - colour
    assert np.abs(difference).max() <= 8


def test_grey_palette_gif_and_transparency(tmp_path, colour):
    grey = colour[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.stack([grey] * 3, -1))

    few = (colour // 128) * 255
    palette = Image.fromarray(few).quantize(8)
    for name in ("palette.png", "palette.gif"):
        palette.save(tmp_path / name)
        np.testing.assert_array_equal(read_image(tmp_path / name), few)
    # Transparency per palette entry, which Pillow warns about when it goes to RGB directly.
    palette.save(tmp_path / "clear.png", transparency=bytes(range(8)))
    np.testing.assert_array_equal(read_image(tmp_path / "clear.png"), few)

    alpha = np.concatenate([colour, np.zeros_like(colour[..., :1])], axis=-1)
    Image.fromarray(alpha).save(tmp_path / "alpha.png")
    np.testing.assert_array_equal(read_image(tmp_path / "alpha.png"), colour)


@pytest.mark.parametrize("kind", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_files_keep_their_channels(tmp_path, colour, kind, channels):
    deep = np.concatenate([colour, colour[..., :1]], axis=-1)[..., :channels].astype(np.uint16)
    deep = deep * 257
    path = tmp_path / f"deep.{kind}"
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
    assert cv2.imwrite(str(path), deep[..., order])
    expected = colour if channels > 1 else np.repeat(colour[..., :1], 3, axis=-1)
    np.testing.assert_array_equal(read_image(path), expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 100, 255], [0, 100, 255]),  # 8 bits in a 16-bit file
        ([0, 2048, 4095], [0, 128, 255]),  # 12 bits
        ([0, 4096, 65535], [0, 16, 255]),  # 16 bits
        ([0, 128, 40000], [0, 0, 156]),
    ],
)
def test_significant_bits_follow_the_largest_value(tmp_path, values, expected):
    cv2.imwrite(str(tmp_path / "a.png"), np.array([values], np.uint16))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[0, :, 1], expected)


# What a viewer shows of a picture with each orientation, by the EXIF standard: where the stored
# first row and first column are.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],  # top, right
    3: lambda a: a[::-1, ::-1],  # bottom, right
    4: lambda a: a[::-1],  # bottom, left
    5: lambda a: a.swapaxes(0, 1),  # left, top
    6: lambda a: np.rot90(a, -1),  # right, top: a quarter clockwise
    7: lambda a: np.rot90(a, -1)[::-1],  # right, bottom
    8: lambda a: np.rot90(a, 1),  # left, bottom
}


def tiff(array, *, orientation=1, photometric=None, order="<"):
    """A TIFF file of 8- or 16-bit grey or RGB, written tag by tag."""
    height, width, channels = array.shape if array.ndim == 3 else (*array.shape, 1)
    photometric = (2 if channels == 3 else 1) if photometric is None else photometric
    pixels = array.astype(array.dtype.newbyteorder(order)).tobytes()
    bits = array.dtype.itemsize * 8
    tags = [
        (256, width),
        (257, height),
        (259, 1),
        (262, photometric),
        (273, 14),
        (274, orientation),
    ]
    tags += [(277, channels), (278, height), (279, len(pixels))]
    start = 14 + len(pixels)
    where = start + 2 + 12 * (len(tags) + 1) + 4  # of the bits of three channels
    short = lambda tag, value: struct.pack(f"{order}2HI2H", tag, 3, 1, value, 0)  # noqa: E731
    several = struct.pack(f"{order}2H2I", 258, 3, 3, where) if channels == 3 else short(258, bits)
    entries = sorted([(258, several), *((tag, short(tag, value)) for tag, value in tags)])
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, start) + bytes(6)
    end = struct.pack(f"{order}H", len(entries)) + b"".join(data for _, data in entries) + bytes(4)
    return head + pixels + end + struct.pack(f"{order}3H", *[bits] * 3)


def _with_orientation(path, array, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    if path.suffix == ".tif":
        path.write_bytes(tiff(array, orientation=orientation))
    elif array.dtype == np.uint16:
        done, data = cv2.imencode(".png", array[..., ::-1] if array.ndim == 3 else array)
        note = b"eXIf" + exif.tobytes()[6:]
        chunk = struct.pack(">I", len(note) - 4) + note + struct.pack(">I", zlib.crc32(note))
        path.write_bytes(data.tobytes()[:33] + chunk + data.tobytes()[33:])
    else:
        options = {"lossless": True} if path.suffix == ".webp" else {}
        options |= {"quality": 100, "subsampling": 0} if path.suffix == ".jpg" else {}
        Image.fromarray(array).save(path, exif=exif, **options)


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "webp"])
def test_an_orientation_is_applied_whatever_the_kind(tmp_path, colour, kind, orientation):
    """To photographs and masks alike, 8 and 16 bits, grey and colour."""
    path = tmp_path / f"a.{kind}"
    expected = UPRIGHT[orientation](colour)
    _with_orientation(path, colour, orientation)
    close = 8 if kind == "jpg" else 0
    np.testing.assert_allclose(read_image(path).astype(int), expected, atol=close)
    assert is_plain_jpeg(path) == (kind == "jpg" and orientation == 1)
    inside = ((colour[..., 0] > 100) & (colour[..., 1] > 90)).astype(np.uint8)
    if kind in ("png", "tif"):
        for deep in (colour.astype(np.uint16) * 257, colour[..., 0].astype(np.uint16) * 257):
            _with_orientation(path, deep, orientation)
            upright = expected if deep.ndim == 3 else np.repeat(expected[..., :1], 3, -1)
            np.testing.assert_array_equal(read_image(path), upright)
        _with_orientation(path, inside.astype(np.uint16), orientation)
        np.testing.assert_array_equal(read_mask(path), UPRIGHT[orientation](inside))
    if kind != "jpg":
        _with_orientation(path, inside * np.uint8(255), orientation)
        np.testing.assert_array_equal(read_mask(path), UPRIGHT[orientation](inside))


def test_an_orientation_that_is_none_is_passed_over(tmp_path, colour):
    for orientation in (0, 9, 77):
        _with_orientation(tmp_path / "a.png", colour, orientation)
        np.testing.assert_array_equal(read_image(tmp_path / "a.png"), colour)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_minimum_is_white(tmp_path, dtype, order):
    """Photometric interpretation 0: the largest value is black, and 0 is inside a mask."""
    most = np.iinfo(dtype).max
    stored = np.array([[0, most // 3, most]], dtype)
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(stored, photometric=0, order=order))
    np.testing.assert_array_equal(read_image(path)[0, :, 0], [255, 170, 0])
    path.write_bytes(tiff(np.array([[0, most, most], [0, 0, most]], dtype), photometric=0))
    np.testing.assert_array_equal(read_mask(path), [[1, 0, 0], [1, 1, 0]])


def test_a_photograph_over_100_megapixels_is_too_large(tmp_path, monkeypatch):
    """By its header, with its size, or when Pillow will not even say that; no word of bombs."""
    path = tmp_path / "large.png"
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(path)
    data = path.read_bytes()
    for width, height, size in ((10001, 10000, "10001x10000 pixels"), (20000, 20000, "")):
        header = b"IHDR" + struct.pack(">2I", width, height) + data[24:29]
        checked = header + struct.pack(">I", zlib.crc32(header))
        path.write_bytes(data[:12] + checked + data[33:])
        with pytest.raises(UserError) as caught:
            read_image(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: {size}") and "above 100 megapixels" in message
        assert "bomb" not in message
    monkeypatch.setattr(images, "MOST_PIXELS", 3)
    cv2.imwrite(str(tmp_path / "deep.tif"), np.zeros((2, 2, 3), np.uint16))
    with pytest.raises(UserError, match="deep.tif: 2x2 pixels are too large"):
        read_image(tmp_path / "deep.tif")


def test_a_single_pixel_is_a_picture(tmp_path):
    for name in ("a.png", "a.jpg", "a.tif", "a.bmp", "a.gif"):
        Image.fromarray(np.full((1, 1, 3), 255, np.uint8)).save(tmp_path / name)
        np.testing.assert_array_equal(read_image(tmp_path / name), [[[255] * 3]])
        np.testing.assert_array_equal(read_mask(tmp_path / name), [[1]])


@pytest.mark.parametrize("kind", ["jpg", "png", "tif"])
def test_a_mask_saved_as_jpeg_or_resampled_is_refused(tmp_path, kind):
    inside = np.zeros((40, 60), np.uint8)
    inside[10:21, 15:34] = 255
    Image.fromarray(inside).save(tmp_path / "m.jpg", quality=60)
    path = tmp_path / f"m.{kind}"
    Image.open(tmp_path / "m.jpg").convert("RGB").save(path)
    stored = np.asarray(Image.open(path))[..., 0]
    values = np.unique(stored[stored > 0])
    assert len(values) > 4
    with pytest.raises(UserError) as caught:
        read_mask(path)
    few = ", ".join(map(str, values[:4]))
    assert f"m.{kind}: holds {len(values)} values beside 0 ({few}, …)" in str(caught.value)


def test_a_mask_of_two_colours_is_refused(tmp_path):
    pixels = np.zeros((3, 4, 3), np.uint8)
    pixels[0, 0], pixels[1, 1:3] = (255, 0, 0), (0, 255, 0)
    for name in ("m.png", "m.gif"):
        Image.fromarray(pixels).save(tmp_path / name)
        with pytest.raises(UserError, match=r"2 values beside 0 \(\(0, 255, 0\), \(255, 0, 0\)\)"):
            read_mask(tmp_path / name)
    pixels[0, 0] = (0, 255, 0)
    Image.fromarray(pixels).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), pixels.any(-1))


def test_grey_levels_are_the_known_ones(tmp_path):
    levels = np.array([[0, 128, 255], [255, 0, 128]], np.uint8)
    path = tmp_path / "m.png"
    for stored in (levels, np.stack([levels] * 3, -1), levels.astype(np.uint16) * 257):
        path.write_bytes(cv2.imencode(".png", stored)[1].tobytes())
        np.testing.assert_array_equal(read_levels(path, (0, 128, 255)), levels)
    for stored, shown in [
        (np.where(levels == 128, 127, levels), "2 pixels hold other values (127) than 0, 128, 255"),
        (np.stack([levels, levels, levels * 0], -1), "4 pixels hold other values ((128, 128, 0), "),
        (levels[..., None] * np.array([1, 0, 1]) + np.array([0, 1, 0]), "6 pixels hold other"),
    ]:
        Image.fromarray(stored.astype(np.uint8)).save(path)
        with pytest.raises(UserError) as caught:
            read_levels(path, (0, 128, 255))
        assert f"m.png: {shown}" in str(caught.value)


def _save_mask(path, inside, encoding):
    indices = inside.astype(np.uint8)
    if encoding == "bit":
        Image.fromarray(inside).save(path, compression="group4")
    elif encoding == "deep":  # the upper byte alone would read 0
        cv2.imwrite(str(path), indices.astype(np.uint16))
    elif encoding in ("red", "black"):
        picture = Image.fromarray(indices, mode=None)
        picture.putpalette([0, 0, 0, 255 if encoding == "red" else 0, 0, 0])
        picture.save(path)
    elif encoding == "alpha":
        Image.fromarray(np.stack([indices, indices * 0, indices * 0, 255 - 0 * indices], -1)).save(
            path
        )
    else:
        Image.fromarray(indices * encoding).save(path)


@pytest.mark.parametrize("encoding", [1, 255, "bit", "red", "black", "deep", "alpha"])
def test_every_encoding_of_a_mask_reads_alike(tmp_path, encoding):
    inside = np.zeros((9, 14), bool)
    inside[2:5, 3:10] = True
    _save_mask(tmp_path / "m.tif", inside, encoding)
    mask = read_mask(tmp_path / "m.tif")
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, inside)


def test_an_empty_mask_is_empty(tmp_path):
    _save_mask(tmp_path / "m.tif", np.zeros((9, 14), bool), "red")
    assert not read_mask(tmp_path / "m.tif").any()


@pytest.mark.parametrize("read", [read_image, read_mask])
@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "bmp", "gif"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.9])
def test_cut_files_are_named(tmp_path, kind, part, read):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / f"cut.{kind}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(UserError, match=rf"cut\.{kind}: "):
        read(path)


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_cut_16_bit_files_are_named(tmp_path, kind):
    noise = np.random.default_rng(0).integers(0, 65536, (64, 64, 3), dtype=np.uint16)
    path = tmp_path / f"cut.{kind}"
    cv2.imwrite(str(path), noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=rf"cut\.{kind}: "):
        read_image(path)


def test_what_is_no_picture_is_named(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("not a picture at all")
    cv2.imwrite(str(tmp_path / "float.tif"), np.ones((4, 4), np.float32))
    for path, why in [
        (tmp_path / "gone.png", "no such image file"),
        (tmp_path / "empty.png", "empty"),
        (tmp_path / "text.jpg", "is not a PNG, JPEG, TIFF, BMP or GIF image"),
        (tmp_path / "float.tif", "float32"),
        (tmp_path, "is a folder"),
    ]:
        with pytest.raises(UserError, match=why) as caught:
            read_image(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
