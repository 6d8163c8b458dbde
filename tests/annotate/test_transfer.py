"""Exports, imports and backups: what goes out comes in the same."""

import csv
import json

import numpy as np
import pytest
from pycocotools.coco import COCO

from segjax.annotate import findings, tables, transfer
from segjax.annotate.photographs import Folder
from segjax.annotate.store import AnnotationFile
from segjax.data.folders import annotations, listing
from segjax.data.regions import region_map, union
from segjax.errors import UserError
from tests.annotate.serving import photograph, served

NOTE = " two\r\nlines,\ra third, \"quotes\", 'ß', =1+1 "


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for k, name in enumerate(("a.png", "below/b, 'c'.png", "d.png", "e.png")):
        photograph(folder / name, seed=k)
    return folder


@pytest.fixture(scope="module")
def path(photos, tmp_path_factory):
    """Three annotators: findings, a normal eye, one begun, one ungradable, points that differ."""
    made = tmp_path_factory.mktemp("file") / "a.sqlite"
    listed = made.with_name("list.txt")
    listed.write_text("Drusen\nHard exudate\nÄther\n")
    with served(photos, made, listed) as page:
        for k, name in enumerate(("Kim", "Lee", "Pär")):
            who = page.annotator(name)
            a, b, d, e = (each["id"] for each in who.images)
            who.place(a, (30 + k, 40), (80.123456789, 44 + k / 3))
            who.mark(a, "hard_exudate", "macula")
            if k < 2:
                who.mark(a, "drusen", "temporal")
                who.mark(a, "drusen", "disc_superior")
            who.edit(a, "note", note=NOTE)
            who.edit(a, "done", done=True)
            who.edit(b, "normal", normal=True)
            who.edit(b, "done", done=True)
            if k == 0:
                who.place(d)
                who.mark(d, "drusen", "macula")
            if k == 2:
                who.edit(e, "ungradable", ungradable=True)
                who.edit(e, "done", done=True)
            if k == 1:
                who.edit(d, "point", point="fovea", at=[1.5, 2])
    return made


@pytest.fixture
def file(path):
    made = AnnotationFile(path, writable=False)
    yield made
    made.close()


def held(file):
    return [
        (r.image.name, r.image.digest, r.image.width, r.annotator, r.reading, r.saved)
        for r in file.records()
    ]


@pytest.mark.parametrize("ending", [".csv", ".json"])
def test_what_is_exported_is_imported_the_same(file, photos, tmp_path, ending):
    said = transfer.export(file, tmp_path / f"out{ending}")
    assert said.endswith("9 readings of 4 photographs by 3 annotators")
    other = AnnotationFile(tmp_path / "b.sqlite")
    folder = Folder(photos)
    said = transfer.import_(other, folder, tmp_path / f"out{ending}", None)
    assert said[0].endswith("by 3 annotators added, 0 there already")
    assert len(said) == 1 + (ending == ".csv")
    assert held(other) == held(file)
    again = transfer.import_(other, folder, tmp_path / f"out{ending}", None)
    assert again[0].endswith("nothing new, 9 there already") and len(again) == 1
    assert held(other) == held(file)
    if ending == ".json":
        assert findings.kept(other) == findings.kept(file)
        transfer.export(other, tmp_path / "again.json")
        assert (tmp_path / "again.json").read_text() == (tmp_path / "out.json").read_text()
    other.close()


def test_of_a_csv_alone_the_list_is_segjax_s_which_is_said(file, photos, tmp_path):
    transfer.export(file, tmp_path / "out.csv")
    (tmp_path / "list.txt").write_text("Drusen\nHard exudate\nÄther\n")
    for name, listed in (("b", None), ("c", tmp_path / "list.txt")):
        other = AnnotationFile(tmp_path / f"{name}.sqlite")
        said = transfer.import_(other, Folder(photos), tmp_path / "out.csv", listed)
        assert ("--findings LIST" in said[-1]) == (listed is None)
        assert (findings.kept(other) == findings.kept(file)) == (listed is not None)
        other.close()


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # of pycocotools
def test_coco_reads_the_regions(file, photos, tmp_path):
    transfer.export(file, tmp_path / "out.json")
    coco = COCO(str(tmp_path / "out.json"))
    assert [each["name"] for each in coco.cats.values()] == ["drusen", "hard_exudate", "ather"]
    images = {each["id"]: each for each in coco.imgs.values()}
    assert len(coco.anns) == 6
    for each in coco.anns.values():
        image = images[each["image_id"]]
        reading = next(r for r in image["readings"] if r["annotator"] == each["annotator"])
        mask = coco.annToMask(each).astype(bool)
        numbers = region_map(reading["disc"], reading["fovea"], image["height"], image["width"])
        expected = union(numbers, each["regions"])
        # pycocotools fills polygons by a rule of its own, up to a pixel of their outline
        assert np.count_nonzero(mask != expected) < 0.03 * expected.sum() + 60
        assert each["area"] == pytest.approx(expected.sum(), rel=0.03, abs=20)
        rows, columns = np.nonzero(expected)
        box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert np.allclose(each["bbox"], box, atol=1.5)


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
def test_regions_outside_the_photograph_are_an_empty_mask(photos, tmp_path):
    file = AnnotationFile(tmp_path / "a.sqlite")
    with served(photos, tmp_path / "a.sqlite") as page:
        kim = page.annotator("Kim")
        image = kim.images[0]["id"]
        kim.place(image, (0, 0), (119, 0))
        assert kim.mark(image, "drusen", "superior_nasal").status == 200
    transfer.export(file, tmp_path / "out.json")
    coco = COCO(str(tmp_path / "out.json"))
    assert not coco.annToMask(coco.anns[1]).any()
    file.close()


def test_the_data_reader_takes_the_table(file, photos, tmp_path):
    said = transfer.export_table(file, Folder(photos), tmp_path / "table.csv")
    assert said[0].endswith("6 readings of 2 photographs by 3 annotators")
    assert said[1] == "1 reading is of photographs that cannot be graded, and left out"
    assert said[2] == "2 readings are not finished, and left out"
    assert said[3].startswith("disc and fovea are medians") and "a.png, by 0.04 of" in said[3]
    images = listing.by_stem(listing.pictures(photos, "--images"), "--images")
    with pytest.raises(UserError, match=r"2 images have no row: d\.png, e\.png"):
        annotations.read(tmp_path / "table.csv", images)
    some = annotations.with_rows(tmp_path / "table.csv", images)
    found = annotations.read(tmp_path / "table.csv", some)
    assert sorted(some) == ["a", "b, 'c'"]
    assert found.findings["drusen"].regions["a"] == ("disc_superior", "temporal")
    assert found.findings["drusen"].labels == {"a": 1, "b, 'c'": 0}
    sizes = dict.fromkeys(some, (120, 90))
    placed, units = annotations.points(found, some, sizes, None)
    assert units == "pixels" and placed["disc"]["a"].tolist() == [31, 40]
    assert placed["fovea"]["a"] == pytest.approx([80.123456789, 44 + 1 / 3])
    assert np.isnan(placed["disc"]["b, 'c'"]).all()


def test_a_table_of_findings_of_elsewhere_is_imported(photos, tmp_path):
    (tmp_path / "t.csv").write_text(
        "image,annotator,finding,regions,disc_x,disc_y,fovea_x,fovea_y\n"
        "A,Kim,drusen,temporal macula,30,40,80,44\n"
        "A,Kim,membrane,macula,,,,\n"
        "A,Lee,,,,,,\n"
    )
    file = AnnotationFile(tmp_path / "a.sqlite")
    transfer.import_(file, Folder(photos), tmp_path / "t.csv", None)
    kim, lee = (record.reading for record in file.records())
    assert kim.findings == {"drusen": ("macula", "temporal"), "membrane": ("macula",)}
    assert kim.done and lee.done and lee.normal and lee.disc == (30, 40)
    file.close()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"status": "maybe"}, "row 2 (a.png): status 'maybe'"),
        ({"regions": "nose"}, "no region 'nose'"),
        ({"regions": ""}, "a finding takes regions"),
        ({"disc_x": "x"}, "disc is no point"),
        ({"disc_x": ""}, "disc is no point"),
        ({"disc_x": "inf"}, "disc is no point"),
        ({"disc_x": "500"}, "outside the photograph of 120x90"),
        ({"normal": "1"}, "an eye with findings is not normal"),
        ({"ungradable": "1"}, "cannot be graded is not normal, and has no findings"),
        ({"ungradable": ""}, "ungradable '': takes 0 or 1"),
        ({"note": "other"}, "contradicts another row of Kim"),
        ({"normal": "TRUE"}, "normal 'TRUE': takes 0 or 1"),
        ({"width": "1e400"}, "'1e400' is no size in pixels"),
        ({"disc_x": "1_0"}, "disc is no point"),
        ({"annotator": "-inf", "note": "a" * 5000}, "at most 4000 characters"),
        ({"digest": "abc"}, "another file than the one"),
        ({"image": "z.png", "digest": ""}, "z.png is not in"),
        ({"annotator": ""}, "names no image or no annotator"),
        ({"finding": "Hard exudate"}, "'Hard exudate' is no name of a finding"),
        ({"finding": "hard_exudate"}, "says twice what Kim marked"),
    ],
)
def test_wrong_tables_are_refused_whole(file, photos, tmp_path, change, says):
    rows = list(csv.DictReader(tables.readings(file.records()).splitlines(keepends=True)))
    alone = ("digest", "image", "disc_x", "normal", "ungradable", "status")
    if {*change} & {*alone}:  # one row, so that it contradicts no other
        rows = [row for row in rows[:1]]
    rows[0] |= change
    with (tmp_path / "t.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, tables.COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    other = AnnotationFile(tmp_path / "b.sqlite")
    with pytest.raises(UserError) as error:
        transfer.import_(other, Folder(photos), tmp_path / "t.csv", None)
    assert says in str(error.value) and "t.csv" in str(error.value)
    assert other.records() == [] and other.annotators() == []
    other.close()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"images": 3}', "{", '{"categories": [{}]}'])
def test_files_that_are_no_export_are_refused(photos, tmp_path, text):
    file = AnnotationFile(tmp_path / "a.sqlite")
    for name in ("x.csv", "x.json"):
        (tmp_path / name).write_text(text)
        with pytest.raises(UserError, match=name):
            transfer.import_(file, Folder(photos), tmp_path / name, None)
    with pytest.raises(UserError, match=r"takes a name in \.csv"):
        transfer.import_(file, Folder(photos), tmp_path / "x.xml", None)
    file.close()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c["images"][0]["readings"][0].update(normal="false"), "normal='false'"),
        (lambda c: c["images"][0]["readings"][0].update(done=1), "done=1"),
        (lambda c: c["images"][0]["readings"][0].update(ungradable=1), "ungradable=1"),
        (lambda c: c["images"][0]["readings"][0].update(disc="12"), "disc: takes (x, y)"),
        (lambda c: c["images"][0]["readings"][0].update(disc=[1]), "disc: takes (x, y)"),
        (lambda c: c["images"][0]["readings"][0].update(note=None), "note: takes text"),
        (lambda c: c["images"][0]["readings"][0].update(saved=None), "a text is taken"),
        (lambda c: c["images"][0].update(width=1e30), "width or height"),
        (lambda c: c["images"][0].update(file_name=7), "a text is taken"),
        (lambda c: c["images"][0].update(file_name="\ud800"), "a text is taken"),
        (lambda c: c["annotations"][0].update(regions=[]), "marked without regions"),
        (lambda c: c["annotations"][0].update(regions="macula"), "list of names"),
        (lambda c: c["annotations"][0].update(annotator="X"), "annotations by 'X', and no reading"),
        (lambda c: c["annotations"][0].update(image_id=99), "image 99 has annotations"),
        (lambda c: c["annotations"].append(c["annotations"][0]), "two annotations of"),
        (lambda c: c["categories"][0].update(label=None), "a text is taken"),
        (lambda c: c.pop("categories"), "is no COCO file"),
    ],
)
def test_wrong_coco_files_are_refused_whole(file, photos, tmp_path, change, says):
    transfer.export(file, tmp_path / "out.json")
    content = json.loads((tmp_path / "out.json").read_text())
    change(content)
    (tmp_path / "out.json").write_text(json.dumps(content), encoding="utf-8-sig")
    other = AnnotationFile(tmp_path / "b.sqlite")
    with pytest.raises(UserError) as error:
        transfer.import_(other, Folder(photos), tmp_path / "out.json", None)
    assert says in str(error.value) and "out.json" in str(error.value)
    assert other.records() == []
    other.close()


def test_a_table_is_of_the_photographs_of_the_folder(tmp_path):
    """Two folders with a photograph of one name are not mixed, nor one that has changed."""
    for k, name in enumerate(("one", "two")):
        photograph(tmp_path / name / name / "x.png", seed=k)
        with served(tmp_path / name, tmp_path / "a.sqlite") as page:
            who = page.annotator(name)
            who.edit(who.images[0]["id"], "normal", normal=True)
            who.edit(who.images[0]["id"], "done", done=True)
    file = AnnotationFile(tmp_path / "a.sqlite", writable=False)
    said = transfer.export_table(file, Folder(tmp_path / "two"), tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text().splitlines()[1:] == ["x.png,two,,,,,,"]
    assert said[-1].startswith("1 reading is of photographs that")
    photograph(tmp_path / "two" / "two" / "x.png", seed=5)
    with pytest.raises(UserError, match="another file than the one"):
        transfer.export_table(file, Folder(tmp_path / "two"), tmp_path / "u.csv")
    file.close()


def test_medians_that_are_one_point_are_refused(tmp_path):
    photograph(tmp_path / "photos" / "a.png")
    with served(tmp_path / "photos", tmp_path / "a.sqlite") as page:
        for name, points in (("Kim", ((10, 20), (50, 60))), ("Lee", ((50, 60), (10, 20)))):
            who = page.annotator(name)
            image = who.images[0]["id"]
            who.place(image, *points)
            who.mark(image, "drusen", "macula")
            who.edit(image, "done", done=True)
    file = AnnotationFile(tmp_path / "a.sqlite", writable=False)
    with pytest.raises(UserError, match=r"a\.png: the medians of all annotators"):
        transfer.export_table(file, Folder(tmp_path / "photos"), tmp_path / "t.csv")
    assert not (tmp_path / "t.csv").exists()
    file.close()


def test_what_differs_is_named_and_nothing_imported(file, path, photos, tmp_path):
    transfer.export(file, tmp_path / "out.json")
    content = json.loads((tmp_path / "out.json").read_text())
    content["images"][0]["readings"][0]["note"] = "other"
    (tmp_path / "out.json").write_text(json.dumps(content))
    file.backup(tmp_path / "b.sqlite")
    other = AnnotationFile(tmp_path / "b.sqlite")
    with pytest.raises(UserError, match=r"1 reading differs from those of .*: a\.png by Kim"):
        transfer.import_(other, Folder(photos), tmp_path / "out.json", None)
    assert held(other) == held(file)
    other.close()


# --- the list of findings ----------------------------------------------------------------------


def test_the_list_stays_with_the_file(file, path, tmp_path):
    assert findings.kept(file) == {
        "drusen": "Drusen",
        "hard_exudate": "Hard exudate",
        "ather": "Äther",
    }
    file.backup(tmp_path / "b.sqlite")
    other = AnnotationFile(tmp_path / "b.sqlite")
    assert findings.chosen(other, None) == findings.kept(file)
    (tmp_path / "less.txt").write_text("Drusen\n")
    with pytest.raises(UserError, match="lacks hard_exudate, which"):
        findings.chosen(other, tmp_path / "less.txt")
    (tmp_path / "more.txt").write_text("Hard exudate\n\n  New   one \nDrusen\n")
    chosen = {"hard_exudate": "Hard exudate", "new_one": "New one", "drusen": "Drusen"}
    assert findings.chosen(other, tmp_path / "more.txt") == chosen
    assert list(findings.kept(other)) == list(chosen)
    other.close()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "names no finding"),
        (b"\n \n", "names no finding"),
        (b"Drusen\ndrusen\n", "line 2: 'drusen' stands there twice"),
        (b"1 drusen\n", "line 1: '1 drusen' gives no name"),
        ("наход\n".encode(), "gives no name"),
        (b"\xff\xfe", "no text in UTF-8"),
    ],
)
def test_wrong_lists_are_refused(tmp_path, content, says):
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(UserError, match=says):
        findings.read(tmp_path / "list.txt")
