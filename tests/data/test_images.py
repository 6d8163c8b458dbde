import cv2
import numpy as np
import pytest
from PIL import Image

from segjax.data.images import image_size, read_image, read_mask
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
    assert image_size(path) == (40, 24)


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
    assert image_size(path) == (40, 24)


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


def test_exif_orientation_is_not_applied(tmp_path, colour):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    Image.fromarray(colour).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").shape == (24, 40, 3)
    assert image_size(tmp_path / "a.jpg") == (40, 24)


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
    for name in ("gone.png", "empty.png", "text.jpg"):
        with pytest.raises(UserError, match=name):
            image_size(tmp_path / name)
