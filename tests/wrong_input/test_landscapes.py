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


OWN = """
import sys
import jax.numpy as jnp
def right(logits, labels): return logits.mean((1, 2, 3))
def optional(logits, labels, alpha=0.5): return alpha * right(logits, labels)
def powered(logits, labels, *, power=2): return right(logits ** power, labels)
def needy(logits, labels, *, power): return right(logits ** power, labels)
def one(logits, labels): return logits.mean()
def raises(logits, labels):
    raise KeyError("lost")
def leaves(logits, labels): sys.exit(3)
def small(logits, labels): return right(logits * jnp.ones((16, 16, 1)), labels)
def three(logits, labels): return right(logits * jnp.ones(3), labels)
def nowhere(logits, labels): return right(logits, labels) / 0 * 0
def other(heatmap, points): return heatmap.mean((1, 2))
number = 3
"""


@pytest.mark.parametrize("kind", ["shift", "grow", "hole", "simplex"])
@pytest.mark.parametrize(
    "loss, names",
    [
        ("own:rihgt", ["loss='own:rihgt'", "cannot import it", "no attribute 'rihgt'"]),
        ("nowhere_here:loss", ["cannot import it", "'nowhere_here'", "looked in"]),
        ("own:number", ["loss 'own:number'", "a loss is a function, this is int"]),
        ("own:optional", ["'own:optional'", "`alpha` has a default", "put `*,` before `alpha`"]),
        ("own:powered:powr=3", ["powr", "did you mean 'power'?"]),
        ("own:needy", ["own:needy", "power", "needs this option"]),
        ("own:one", ["'own:one'", "one number an image"]),
        ("own:other", ["'own:other'", "heatmap", "given logits, labels and maps"]),
        ("own:raises", ["'own:raises'", "KeyError: lost (line "]),
        ("own:leaves", ["'own:leaves'", "sys.exit(3)"]),
        ("own:nowhere", ["own:nowhere", "values are not finite"]),
    ],
)
def test_a_loss_of_ones_own(refuses, tmp_path, kind, loss, names):
    (tmp_path / "own.py").write_text(OWN)
    if kind == "simplex":
        pytest.importorskip("mpltern")
    refuses("landscape", kind, "--loss", "own:right", loss, names=names)


def test_a_loss_of_ones_own_that_takes_one_size_only(refuses, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    words = ["'own:small'", "ValueError", "(line "]
    refuses("landscape", "shift", "--loss", "own:small", "--size", "32", names=words)
    refuses("landscape", "shift", "--loss", "own:three", names=["'own:three'", "ValueError"])


def test_a_split_that_is_not_there(refuses, trained):
    words = ["landscape", "parameters", "--workdir", trained, "--split", "trian"]
    refuses(*words, names=["'trian'", "did you mean 'train'?"], untouched=[trained])


def test_triangles_without_mpltern(refuses, monkeypatch):
    monkeypatch.setitem(sys.modules, "mpltern", None)
    refuses("landscape", "simplex", "--loss", "dice", names=["mpltern", "extra `notebooks`"])
