"""A folder of images with masks, points or labels, from the command to the records."""

import json

import numpy as np
import pytest

from segjax.cli import main
from segjax.data import own, store
from tests.data.folders.settings import SIZE, coloured, mask, picture, table

HEIGHT, WIDTH = SIZE


def prepare(tmp_path, *words, name="mine"):
    """The command; its exit status."""
    given = ["--data_dir", str(tmp_path / "data"), "--name", name, *map(str, words)]
    return main(["data", "prepare", "folder", "--images", str(tmp_path / "images"), *given])


def records(tmp_path, split=None, name="mine"):
    """Examples by `image_id`, of one split or of all."""
    made = store.builder(name, str(tmp_path / "data"))
    found = {}
    for each in [split] if split else list(made.info.splits):
        source = store.open_split(made, each)
        found |= {source[i]["image_id"].decode(): source[i] for i in range(len(source))}
    return found


@pytest.fixture
def images(tmp_path):
    """Ten photographs."""
    return [picture(tmp_path / "images" / f"p{n}.png", seed=n) for n in range(10)]


def test_binary_masks_become_a_set_that_is_used_like_any_other(tmp_path, images, capfd):
    for n, path in enumerate(images):
        mask(tmp_path / "masks" / f"{path.stem}_vessels.png", (0, 255 if n % 2 else 1))
    before = sorted((tmp_path / "images").rglob("*")) + sorted((tmp_path / "masks").rglob("*"))
    assert prepare(tmp_path, "--masks", tmp_path / "masks") == 0
    shown = capfd.readouterr().out
    for words in (
        f"images       10 in {tmp_path / 'images'}, all {WIDTH}x{HEIGHT} pixels",
        f"masks        {{name}}_vessels.* in {tmp_path / 'masks'}",
        "class        vessels: all but 0; in 10 of 10 images, 50 % of all pixels",
        "splits       train 8, validation 2: images drawn with seed 0",
        "contact_sheet.png",
        "prepared: ",
    ):
        assert words in shown
    found = records(tmp_path)
    assert set(found) == {path.stem for path in images}
    for example in found.values():
        assert example["vessels"].shape == (HEIGHT, WIDTH, 1)
        np.testing.assert_array_equal(example["vessels"][:10], 0)
        np.testing.assert_array_equal(example["vessels"][10:], 1)
    after = sorted((tmp_path / "images").rglob("*")) + sorted((tmp_path / "masks").rglob("*"))
    assert after == before, "something was written into the folder"
    assert main(["data", "list", "--data_dir", str(tmp_path / "data")]) == 0
    assert "mine                             prepared: train 8, validation 2" in (
        capfd.readouterr().out
    )
    sheet = tmp_path / "sheet.png"
    words = ["mine", "--data_dir", str(tmp_path / "data"), "--output", str(sheet)]
    assert main(["data", "show", *words]) == 0 and sheet.exists()


def test_the_split_is_written_down_and_nothing_is_prepared_twice(tmp_path, images, capfd):
    for path in images:
        mask(tmp_path / "masks" / path.name)
    words = ["--masks", tmp_path / "masks", "--validation", "0.3", "--test", "0.2", "--seed", "4"]
    assert prepare(tmp_path, *words) == 0
    folder = own.folder_of("mine", tmp_path / "data")
    lines = (folder / own.SPLIT_TABLE).read_text().splitlines()
    assert lines[0] == "name,split,group" and len(lines) == 11
    for split, count in {"train": 5, "validation": 3, "test": 2}.items():
        assert set(records(tmp_path, split)) == {
            line.split(",")[0] for line in lines[1:] if line.split(",")[1] == split
        }
        assert len(records(tmp_path, split)) == count
    assert json.loads((folder / own.SOURCE).read_text())["request"]["seed"] == 4
    capfd.readouterr()
    assert prepare(tmp_path, *words) == 0
    assert "already prepared" in capfd.readouterr().out
    # The table it wrote gives the same split again
    again = ["--masks", tmp_path / "masks", "--split", folder / own.SPLIT_TABLE]
    assert prepare(tmp_path, *again, name="again") == 0
    for split in ("train", "validation", "test"):
        assert set(records(tmp_path, split)) == set(records(tmp_path, split, "again"))


def interrupted(*unused):
    raise KeyboardInterrupt


def test_a_changed_source_is_noticed_and_overwritten_on_demand(
    tmp_path, images, capfd, monkeypatch
):
    for path in images:
        mask(tmp_path / "masks" / path.name)
    assert prepare(tmp_path, "--masks", tmp_path / "masks") == 0
    mask(tmp_path / "masks" / "p3.png", (255, 0))
    picture(tmp_path / "images" / "new.png", seed=99)
    mask(tmp_path / "masks" / "new.png")
    images[0].unlink()
    (tmp_path / "masks" / "p0.png").unlink()
    sheet = (tmp_path / "data" / "mine" / "contact_sheet.png").read_bytes()
    capfd.readouterr()
    assert prepare(tmp_path, "--masks", tmp_path / "masks") == 2
    errors = capfd.readouterr().err
    assert "1 new (new), 1 gone (p0), 1 changed (p3)" in errors and "--overwrite" in errors
    assert "p0" in records(tmp_path)
    assert (tmp_path / "data" / "mine" / "contact_sheet.png").read_bytes() == sheet
    monkeypatch.setattr(store, "_put", interrupted)
    assert prepare(tmp_path, "--masks", tmp_path / "masks", "--overwrite") == 1
    assert "p0" in records(tmp_path), "the set that was there is lost"
    monkeypatch.undo()
    assert prepare(tmp_path, "--masks", tmp_path / "masks", "--overwrite") == 0
    found = records(tmp_path)
    assert "p0" not in found and "new" in found and found["p3"]["mask"][0, 0, 0] == 1


def test_indices_with_ignored_pixels(tmp_path, images, capfd):
    for path in images:
        mask(tmp_path / "masks" / path.name, (0, 1, 2, 255))
    assert prepare(tmp_path, "--masks", tmp_path / "masks", "--classes", "disc, cup") == 0
    shown = capfd.readouterr().out
    assert "disc: value 1; in 10 of 10 images, 25 %" in shown and "left out     pixels" in shown
    example = records(tmp_path)["p0"]
    for name, rows in {"disc": slice(5, 10), "cup": slice(10, 15)}.items():
        wanted = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
        wanted[rows] = 1
        np.testing.assert_array_equal(example[name], wanted)
    assert example["annotated"][:15].all() and not example["annotated"][15:].any()


def test_a_palette_counts_by_its_indices(tmp_path, images):
    for path in images:
        mask(tmp_path / "masks" / path.name, (0, 1, 2), palette=[0, 0, 0, 9, 9, 9, 200, 0, 0])
    assert prepare(tmp_path, "--masks", tmp_path / "masks") == 0
    example = records(tmp_path)["p0"]
    assert {"class_1", "class_2"} <= set(example) and example["class_2"][-1].all()


def test_colours_by_a_table(tmp_path, images, capfd):
    for path in images:
        coloured(tmp_path / "masks" / path.name, [(0, 0, 0), (255, 0, 0), (0, 255, 0), (9, 9, 9)])
    words = ["--masks", tmp_path / "masks"]
    assert prepare(tmp_path, *words) == 2
    assert "is coloured; --colours FILE.csv says" in capfd.readouterr().err
    rows = [("disc", 255, 0, 0), ("cup", 0, 255, 0), ("ignore", 9, 9, 9)]
    colours = table(tmp_path / "c.csv", ("class", "red", "green", "blue"), *rows)
    assert prepare(tmp_path, *words, "--colours", colours) == 0
    example = records(tmp_path)["p0"]
    assert example["disc"][5:10].all() and example["cup"].sum() == 5 * WIDTH
    assert not example["annotated"][15:].any()
    colours = table(tmp_path / "c.csv", ("class", "colour"), ("disc", "#ff0000"))
    assert prepare(tmp_path, *words, "--colours", colours, name="other") == 2
    assert "holds #00ff00, #090909, which" in capfd.readouterr().err.replace(
        "#090909, #00ff00", ("#00ff00, #090909")
    )


def test_grey_levels_by_a_table(tmp_path, images, capfd):
    for path in images:
        mask(tmp_path / "masks" / path.name, (0, 128, 255))
    words = ["--masks", tmp_path / "masks"]
    assert prepare(tmp_path, *words) == 2
    assert "masks hold the values 0, 128, 255, no indices" in capfd.readouterr().err
    rows = [("cup", 128), ("disc", 255)]
    levels = table(tmp_path / "c.csv", ("class", "value"), *rows)
    assert prepare(tmp_path, *words, "--colours", levels) == 0
    example = records(tmp_path)["p0"]
    assert example["disc"][-1].all() and not example["disc"][:13].any()


def test_a_folder_a_class_and_images_without_a_file_of_one(tmp_path, images, capfd):
    for n, path in enumerate(images):
        mask(tmp_path / "masks" / "soft drusen" / path.name)
        if n < 4:
            mask(tmp_path / "masks" / "haemorrhage" / path.name, (255, 0))
    assert prepare(tmp_path, "--masks", tmp_path / "masks") == 0
    shown = capfd.readouterr().out
    assert "haemorrhage: all but 0; in 4 of 10 images, 20 %" in shown
    found = records(tmp_path)
    assert found["p0"]["haemorrhage"][0].all() and found["p0"]["soft_drusen"][-1].all()
    assert not found["p9"]["haemorrhage"].any()


@pytest.mark.parametrize("scale", ["pixels", "fractions"])
def test_points(tmp_path, images, capfd, scale):
    by = (1, 1) if scale == "pixels" else (WIDTH, HEIGHT)
    rows = [(p.name, (3 + n) / by[0], 7.5 / by[1], 2 / by[0], 19 / by[1]) for n, p in
            enumerate(images)]  # fmt: skip
    header = ("Image Name", "fovea_x", "fovea_y", "Disc X", "Disc Y")
    points = table(tmp_path / "points.csv", header, *rows)
    assert prepare(tmp_path, "--points", points) == 0
    shown = capfd.readouterr().out
    assert f"point        fovea, in {scale} of the image" in shown
    example = records(tmp_path)["p4"]
    np.testing.assert_allclose(example["fovea"], [7, 7.5], rtol=1e-6)
    np.testing.assert_allclose(example["disc"], [2, 19], rtol=1e-6)


def test_a_single_point_and_its_units(tmp_path, images, capfd):
    points = table(tmp_path / "p.csv", ("file", "x", "y"), *[(p.stem, 0.5, 1) for p in images])
    assert prepare(tmp_path, "--points", points, "--units", "pixels") == 0
    np.testing.assert_array_equal(records(tmp_path)["p1"]["point"], np.float32([0.5, 1]))


def test_labels_and_groups(tmp_path, images, capfd):
    rows = [(p.name, n % 3, "left" if n % 2 else "right", n // 2) for n, p in enumerate(images)]
    labels = table(tmp_path / "l.csv", ("name", "grade", "eye", "patient"), *rows)
    assert prepare(tmp_path, "--labels", labels, "--group", "patient", "--validation", "0.4") == 0
    shown = capfd.readouterr().out
    assert "labels       grade: 0 4, 1 3, 2 3" in shown and "eye: left 5, right 5" in shown
    assert "groups       5 by patient, 2 images each" in shown
    train, held = records(tmp_path, "train"), records(tmp_path, "validation")
    assert not {e["group"] for e in train.values()} & {e["group"] for e in held.values()}
    assert len(held) == 4
    features = store.builder("mine", str(tmp_path / "data")).info.features
    assert features["eye"].names == ["left", "right"] and features["grade"].num_classes == 3
    assert {**train, **held}["p5"]["grade"] == 2 and {**train, **held}["p5"]["eye"] == 0


def test_groups_by_a_pattern_and_equal_images_stay_together(tmp_path, capfd):
    for n in range(12):
        picture(tmp_path / "images" / f"s{n // 3}_{n}.png", seed=0 if n in (0, 11) else n)
        mask(tmp_path / "masks" / f"s{n // 3}_{n}.png")
    words = ["--masks", tmp_path / "masks", "--group", "s{group}_*", "--validation", "0.3"]
    assert prepare(tmp_path, *words) == 0
    shown = capfd.readouterr().out
    assert "groups       4 by s{group}_*" in shown
    assert "same image   s0_0, s3_11: pixel by pixel, kept in one split" in shown
    held = set(records(tmp_path, "validation"))
    assert {"s0_0" in held} == {"s3_11" in held} == {"s0_1" in held}
    both = [(f"s{n // 3}_{n}", "validation" if n == 11 else "train") for n in range(12)]
    words[2:] = ["--split", table(tmp_path / "s.csv", ("name", "split"), *both)]
    assert prepare(tmp_path, *words, name="other") == 2
    assert "one image on both sides, pixel by pixel: s0_0 in train, s3_11" in (
        capfd.readouterr().err
    )


def test_masks_among_the_images(tmp_path, capfd):
    for n in range(5):
        picture(tmp_path / "images" / f"{n}.png", seed=n)
        mask(tmp_path / "images" / f"{n}_seg.png")
    words = ["--masks", tmp_path / "images"]
    assert prepare(tmp_path, *words) == 2
    assert "--mask_pattern, as in '{name}_mask.png', tells" in capfd.readouterr().err
    assert prepare(tmp_path, *words, "--mask_pattern", "{name}_seg.png") == 0
    assert len(records(tmp_path)) == 5


def test_a_scan_that_was_stopped_goes_on(tmp_path, images, monkeypatch):
    from segjax.data.folders import scan

    for path in images:
        mask(tmp_path / "masks" / path.name)
    usual, seen = scan._picture, []

    def stopping(path):
        seen.append(path)
        if len(seen) == 6:
            raise KeyboardInterrupt
        return usual(path)

    monkeypatch.setattr(scan, "AT_ONCE", 1)
    monkeypatch.setattr(scan, "_picture", stopping)
    assert prepare(tmp_path, "--masks", tmp_path / "masks") == 1
    assert prepare(tmp_path, "--masks", tmp_path / "masks") == 0
    assert len(seen) == 11 and len({*seen}) == 10
    assert len(records(tmp_path)) == 10
