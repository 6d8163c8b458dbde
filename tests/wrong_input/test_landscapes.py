"""Wrong words to `segjax landscape`."""

import sys

import pytest

pytestmark = pytest.mark.usefixtures("command_settings")


@pytest.mark.parametrize(
    "words, names",
    [
        ([], ["KIND"]),
        (["postion"], ["'postion'", "did you mean 'position'?", "simplex"]),
        (["position", "--targt", "3"], ["--targt", "did you mean '--target'?"]),
        (["position", "--classes", "100"], ["`classes`", "power of two", "100"]),
        (["position", "--classes", "16", "--target", "16"], ["`target`", "16"]),
        (["position", "--target", "-1"], ["--target -1", "at least 0"]),
        (["position", "--side", "eight"], ["--side", "'eight'"]),
        (["position", "--output", "figure.pdf"], ["--output figure.pdf", ".png"]),
        (["position", "--output", "folder.png"], ["--output folder.png", "is a folder"]),
        (["position", "--output", "file/a.png"], ["--output", "cannot write"]),
        (["shift", "--loss"], ["--loss", "at least one argument"]),
        (["shift", "--loss", "dcie"], ["loss='dcie'", "did you mean 'dice'?"]),
        (["shift", "--loss", "dice:smoth=1"], ["smoth", "did you mean 'smooth'?"]),
        (["shift", "--loss", "dice:smooth"], ["option=value", "'smooth'"]),
        (["shift", "--loss", "focal:gamma=-1"], ["'focal:gamma=-1'", "`gamma`"]),
        (["shift", "--loss", "triplet"], ["'triplet'", "anchor"]),
        (["grow", "--radius", "1"], ["--radius 1", "at least 2"]),
        (["grow", "--loss", "dice", "--radius", "20"], ["radius 20", "a quarter"]),
        (["grow", "--radius", "nan"], ["--radius nan", "finite"]),
        (["hole", "--steps", "1"], ["--steps 1", "at least 2"]),
        (["simplex", "--vector", "1", "2"], ["--vector", "3 arguments"]),
        (["simplex", "--vector", "1", "inf", "2"], ["--vector", "finite"]),
        (["training", "--steps", "0"], ["--steps 0", "at least 1"]),
        (["training", "--maps", "rectifed"], ["maps='rectifed'", "did you mean 'rectified'?"]),
        (["parameters"], ["--workdir"]),
        (["parameters", "--workdir", "absent"], ["absent", "no such folder"]),
        (["parameters", "--workdir", "absent", "--points", "2"], ["--points 2", "at least 3"]),
        (["parameters", "--workdir", "x", "--checkpoint", "bst"], ["'bst'", "mean 'best'?"]),
    ],
)  # fmt: skip
def test_words(refuses, tmp_path, words, names):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_text("")
    refuses("landscape", *words, names=names)


def test_a_split_that_is_not_there(refuses, trained):
    words = ["landscape", "parameters", "--workdir", trained, "--split", "trian"]
    refuses(*words, names=["'trian'", "did you mean 'train'?"], untouched=[trained])


def test_triangles_without_mpltern(refuses, monkeypatch):
    monkeypatch.setitem(sys.modules, "mpltern", None)
    refuses("landscape", "simplex", "--loss", "dice", names=["mpltern", "extra `notebooks`"])
