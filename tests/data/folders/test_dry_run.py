"""`--dry_run` says and shows what is understood, and leaves what is stored as it is."""

import pytest
from PIL import ImageDraw

from segjax import cli
from segjax.data import own
from segjax.data.folders import scan
from tests.data.folders import test_volumes
from tests.data.folders.settings import mask, picture
from tests.data.folders.test_photographs import prepare
from tests.wrong_input.conftest import snapshot

DRY, SHEET = "contact_sheet_dry_run.png", "contact_sheet.png"


@pytest.fixture
def eyes(tmp_path):
    """Six photographs, two a folder, with masks."""
    for n in range(6):
        picture(tmp_path / "images" / f"p{n // 2}" / f"Eye_{n:03d}.png", seed=n)
        mask(tmp_path / "masks" / f"Eye_{n:03d}.png")
    return tmp_path


def photographs(eyes):
    """How they are prepared, and how they change."""

    def change():
        mask(eyes / "masks" / "Eye_003.png", (255, 0))

    return lambda *words: prepare(eyes, "--masks", eyes / "masks", *words), change


def volumes(root):
    def change():
        test_volumes.write(root / "labelsTr" / "pat1_003.nii.gz", test_volumes.labels_of(77))

    return lambda *words: test_volumes.prepare(root, *words, name="mine"), change


folder = test_volumes.folder


@pytest.fixture(params=["folder", "nnunet"])
def source(request, tmp_path):
    if request.param == "folder":
        return photographs(request.getfixturevalue("eyes"))
    return volumes(request.getfixturevalue("folder"))


def test_nothing_is_stored(source, tmp_path, capfd):
    run, _ = source
    assert run("--dry_run") == 0
    shown = capfd.readouterr().out
    home = tmp_path / "data" / "mine"
    assert "class  " in shown and f"wrote {home / DRY}\n" in shown
    assert own.names(tmp_path / "data") == []
    assert {path.name for path in home.iterdir()} == {DRY, scan.NAME}


def test_a_set_of_this_name_keeps_its_sheet(source, tmp_path, capfd):
    run, change = source
    assert run() == 0
    home = tmp_path / "data" / "mine"
    before = {path: found for path, found in snapshot(home).items() if scan.NAME not in path}
    capfd.readouterr()
    assert run("--dry_run") == 0
    assert f"{home / '1.0.0'}: was prepared from the same\n" in capfd.readouterr().out
    change()
    assert run("--dry_run") == 0
    shown = capfd.readouterr().out
    assert f"wrote {home / DRY}\n" in shown
    assert f"{home / '1.0.0'}: was prepared from something else: 1 changed (" in shown
    after = snapshot(home)
    assert {path: after[path] for path in before} == before
    assert after.keys() - before.keys() == {str(home / DRY), str(home / scan.NAME)}
    assert (home / DRY).read_bytes() != (home / SHEET).read_bytes()
    assert cli.main(["data", "remove", "mine", "--data_dir", str(tmp_path / "data")]) == 0
    assert f"removed {home / DRY}: " in capfd.readouterr().out and not home.exists()


def test_a_refusal_names_the_flags_that_were_others(source, capfd):
    run, _ = source
    assert run("--seed", "1") == 0
    capfd.readouterr()
    assert run("--seed", "7", "--validation", "0.5") == 2
    told = "was prepared from something else: --validation was 0.2, is 0.5, --seed was 1, is 7; "
    assert told in capfd.readouterr().err


@pytest.fixture
def captions(monkeypatch):
    """What is written on sheets, line by line."""
    written, usual = [], ImageDraw.ImageDraw.text

    def text(draw, place, words, *more, **options):
        written.append(" ".join(words.split()))
        return usual(draw, place, words, *more, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    return written


def splits_of(folder):
    rows = (folder / own.SPLIT_TABLE).read_text().splitlines()[1:]
    return {row.split(",")[0]: row.split(",")[1] for row in rows}


def test_captions_have_name_and_split(eyes, captions):
    assert prepare(eyes, "--masks", eyes / "masks") == 0
    splits = splits_of(eyes / "data" / "mine" / "1.0.0")
    assert set(splits.values()) == {"train", "validation"}
    lines = dict(zip(captions[:-1:2], captions[1::2], strict=True))  # but the legend
    assert lines == {name: f"split: {split}" for name, split in splits.items()}


def test_captions_have_the_group_where_there_is_one(eyes, captions):
    words = ["--masks", eyes / "masks", "--group", "p{group}/*"]
    assert prepare(eyes, *words) == 0
    splits = splits_of(eyes / "data" / "mine" / "1.0.0")
    lines = dict(zip(captions[:-1:2], captions[1::2], strict=True))
    wanted = {
        name: f"split: {split}, group: {int(name[-1]) // 2}" for name, split in splits.items()
    }
    assert lines == wanted


def test_captions_of_volumes_have_the_patient(folder, captions):
    assert test_volumes.prepare(folder, "--group", "{group}_*", "--dry_run") == 0
    lines = dict(zip(captions[:-2:2], captions[1::2], strict=False))
    assert len(lines) == 6
    for name, line in lines.items():
        split, rest = line.split(", ", 1)
        assert split in ("split: train", "split: validation")
        assert f"patient: {name.split('_')[0]}" in rest and "slice: " in rest
