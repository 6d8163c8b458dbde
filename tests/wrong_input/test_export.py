"""Exports of folders that hold nothing to export, into folders that hold something else."""

import json
import shutil

import pytest

pytestmark = pytest.mark.usefixtures("command_settings")


@pytest.mark.parametrize(
    "words, names",
    [
        ([], ["--workdir"]),
        (["--workdir", "run"], ["--output"]),
        (["--workdir", "run", "--output", "out", "--checkpoint", "bst"], ["'bst'", "'best'?"]),
        (["--workdir", "run", "--output", "out", "--config.seed=1"], ["--config.seed=1"]),
        (["--workdir", "run", "--outptu", "out"], ["--outptu", "did you mean '--output'?"]),
    ],
)
def test_words(refuses, words, names):
    refuses("export", *words, names=names)


def test_a_work_folder_that_is_missing(refuses, tmp_path):
    words = ["export", "--workdir", "absent", "--output", "out"]
    refuses(*words, names=["absent", "no such folder"])
    (tmp_path / "absent").mkdir()
    refuses(*words, names=["absent", "not a work folder", "config.json"])


@pytest.mark.parametrize("kind", ["best", "latest"])
def test_a_folder_without_checkpoint(refuses, tmp_path, trained, kind):
    shutil.copytree(trained, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    words = ["export", "--workdir", "run", "--output", "out", "--checkpoint", kind]
    refuses(*words, names=["run", "no checkpoint", "train first"])


@pytest.mark.parametrize("output", ["file", "file/out", "x" * 300])
def test_an_output_that_cannot_be_written(refuses, tmp_path, trained, output):
    (tmp_path / "file").write_text("a file, no folder")
    words = ["export", "--workdir", trained, "--output", output]
    refuses(*words, names=[output], untouched=[trained])


def test_an_output_of_other_files(refuses, tmp_path, trained):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    words = ["export", "--workdir", trained, "--output"]
    names = ["--output out", "holds other files (thesis.tex)"]
    refuses(*words, "out", names=names, untouched=[trained])
    (folder / "thesis.tex").rename(folder / "model.stablehlo")
    refuses(*words, "out", names=["holds other files (model.stablehlo)"], untouched=[trained])
    refuses(*words, trained, names=[trained, "holds other files"], untouched=[trained])


def test_an_output_of_another_run(refuses, tmp_path, trained):
    words = ["export", "--workdir", str(trained), "--output", "out"]
    file = tmp_path / "out" / "model.json"
    file.parent.mkdir()
    entries = dict.fromkeys(("model.stablehlo", "weights.safetensors"), {"sha256": "0" * 64})
    file.write_text(json.dumps({"run": "0" * 64, "files": entries}))
    refuses(*words, names=["--output out", "the export of another run"], untouched=[trained])
    (file.parent / "notes.txt").write_text("mine")
    refuses(*words, names=["--output out", "notes.txt"], untouched=[trained])
    (file.parent / "notes.txt").unlink()
    for text in ("", "[]", "{}", '{"run": 1, "files": {}}', "\0"):
        file.write_text(text)
        refuses(*words, names=["out/model.json", "damaged"], untouched=[trained])
    file.write_bytes(b"\xff\xfe\xff")
    refuses(*words, names=["out/model.json", "damaged"], untouched=[trained])
