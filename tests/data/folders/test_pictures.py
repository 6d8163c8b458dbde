"""What files of pictures hold beside one upright picture: pages, alpha channels, orientations."""

import numpy as np
import pytest
from PIL import Image

from tests.data.folders.settings import SIZE, mask, picture, table
from tests.data.folders.test_photographs import prepare
from tests.data.folders.test_wrong_folders import folder, refused  # noqa: F401 (a fixture)


def pages(path, count):
    frames = [Image.fromarray(np.full(SIZE, 40 * n, np.uint8)) for n in range(count)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


@pytest.mark.parametrize("where", ["images", "masks"])
@pytest.mark.parametrize("ending, what", [("tif", "pages"), ("TIFF", "pages"), ("gif", "frames")])
def test_files_of_several_pages(folder, capfd, where, ending, what):  # noqa: F811
    (folder / where / "p2.png").unlink()
    pages(folder / where / f"p2.{ending}", 3)
    message = f"{where}/p2.{ending}: holds 3 {what}; save each as a file of its own\n"
    refused(folder, capfd, message, "--masks", folder / "masks")
    pages(folder / where / f"p2.{ending}", 1)
    if where == "masks":
        mask(folder / where / f"p2.{ending}")
    assert prepare(folder, "--masks", folder / "masks") == 0


def drawn_in_alpha(path, colour, alpha):
    array = np.full((*SIZE, 4), colour, np.uint8)
    array[..., 3] = 255
    array[:9, :, 3] = alpha
    Image.fromarray(array).save(path)


def test_masks_that_are_inside_everywhere(folder, capfd):  # noqa: F811
    for n in range(5):
        drawn_in_alpha(folder / "masks" / f"p{n}.png", 255, 0)
    inside = "masks: every pixel of every mask is inside, for none is 0"
    alpha = "the drawing seems to lie in the alpha channel of p0.png, which is not read: `magick "
    words = ("--masks", folder / "masks")
    refused(folder, capfd, f"{inside}; {alpha}p0.png -alpha extract new.png` makes a mask", *words)
    for n in range(5):  # an alpha channel that says nothing
        drawn_in_alpha(folder / "masks" / f"p{n}.png", 255, 255)
    refused(folder, capfd, f"{inside}\n", *words)
    for n in range(5):
        drawn_in_alpha(folder / "masks" / f"p{n}.png", 0, 0)
    refused(folder, capfd, f"all masks are empty; {alpha}", *words)
    for n in range(4):
        mask(folder / "masks" / f"p{n}.png", (255,))
    mask(folder / "masks" / "p4.png")  # one that is no full picture is enough
    assert prepare(folder, *words) == 0


def turned(path):
    tag = Image.Exif()
    tag[0x0112] = 6
    array = np.random.default_rng(7).integers(0, 255, (*SIZE, 3), np.uint8)
    Image.fromarray(array).save(path, exif=tag)


def test_images_that_a_tag_turns_are_counted(folder, capfd):  # noqa: F811
    words = ("--masks", folder / "masks")
    assert prepare(folder, *words, "--dry_run") == 0
    assert "orientation" not in capfd.readouterr().out
    turned(folder / "images" / "p2.png")
    message = f"p2.png: the mask has {SIZE[1]}x{SIZE[0]} pixels, its image {SIZE[0]}x{SIZE[1]}"
    refused(folder, capfd, f"{message}, upright by its orientation tag\n", *words)
    mask(folder / "masks" / "p2.png", size=SIZE[::-1])
    for count in (1, 2):
        assert prepare(folder, *words, "--dry_run") == 0
        how = "image is turned by its" if count == 1 else "images are turned by their"
        line = f"orientation  {count} {how} orientation tag; masks and points are taken as they are"
        assert f"{line} for the upright picture\n" in capfd.readouterr().out
        (folder / "images" / "p3.png").unlink(missing_ok=True)
        turned(folder / "images" / "p3.tif")
        mask(folder / "masks" / "p3.png", size=SIZE[::-1])


# --- Tables that contradict themselves --------------------------------------------------------


@pytest.mark.parametrize(
    "header, rows, message",
    [
        (
            ("class", "colour"),
            [("disc", "#ff0000"), ("cup", "#FF0000")],
            "gives the colour #ff0000 to both 'disc' and 'cup'\n",
        ),
        (
            ("class", "red", "green", "blue"),
            [("disc", 0, 255, 0), ("ignore", 0, 255, 0)],
            "gives the colour #00ff00 to both 'disc' and 'ignore'\n",
        ),
        (
            ("class", "value"),
            [("background", 0), ("disc", 255), ("cup", 255)],
            "gives the value 255 to both 'disc' and 'cup'\n",
        ),
    ],
)
def test_two_classes_of_one_colour(folder, capfd, header, rows, message):  # noqa: F811
    colours = table(folder / "c.csv", header, *rows)
    words = ("--masks", folder / "masks", "--colours", colours)
    refused(folder, capfd, f"{colours}: {message}", *words)


@pytest.mark.parametrize(
    "lone, message",
    [
        ("disc_x", "has a column 'disc_x', but none 'disc_y'; the headers are "),
        ("Disc Y", "has a column 'Disc Y', but none 'Disc X'"),
        ("discX", "has a column 'discX', but none 'discY'"),
        ("x", "has a column 'x', but none 'y'"),
        ("Y", "has a column 'Y', but none 'X'"),
        ("X- Coordinate", "has a column 'X- Coordinate', but none 'Y- Coordinate'"),
    ],
)
def test_half_a_point(folder, capfd, lone, message):  # noqa: F811
    rows = [(f"p{n}", 1, 2, 3) for n in range(5)]
    points = table(folder / "points.csv", ("name", "fovea_x", "fovea_y", lone), *rows)
    refused(folder, capfd, f"--points {points}: {message}", "--points", points)


@pytest.mark.parametrize("other", ["sex", "index", "day", "quality", "laterality"])
def test_words_that_end_in_x_or_y_are_no_half_points(folder, capfd, other):  # noqa: F811
    rows = [(f"p{n}", 1, 2, 3) for n in range(5)]
    header = ("name", "X- Coordinate", "Y - Coordinate", other)
    points = table(folder / "points.csv", header, *rows)
    assert prepare(folder, "--points", points) == 0
    assert capfd.readouterr().out.count("\npoint ") == 1


@pytest.mark.parametrize("name", ["preprocessed", "plans"])
def test_names_of_folders_that_segjax_keeps(folder, capfd, name):  # noqa: F811
    picture(folder / "images" / "p0.png", seed=0)
    message = f"--name {name}: segjax keeps a folder of this name there; take another\n"
    refused(folder, capfd, message, "--masks", folder / "masks", name=name)
    assert not (folder / "data" / name).exists()
