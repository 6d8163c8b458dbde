"""Wrong names, and losses of one's own that `segjax check` cannot try."""

import sys

import pytest

pytestmark = pytest.mark.usefixtures("command_settings")

OWN = """
def misnamed(logit, labels): return logit
def unknown(logits, probabilities): return logits
def needy(logits, labels, *, power): return logits ** power
def flat(labels): return labels
number = 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in ("own", "broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "broken.py").write_text("def loss(logits: return\n")


@pytest.mark.parametrize(
    "words, names",
    [
        (["diec"], ["'diec'", "did you mean 'dice'?", "cross_entropy"]),
        (["dice", "focl"], ["'focl'", "did you mean 'focal'?"]),
        (["--sed", "1"], ["--sed", "did you mean '--seed'?"]),
        (["--seed", "one"], ["--seed", "'one'"]),
        (["dice", "--seed", "-1"], ["--seed -1", "at least 0"]),
        (["missing_module:loss"], ["'missing_module:loss'", "cannot import"]),
        (["own:los"], ["'own:los'", "cannot import"]),
        (["own:"], ["'own:'", "cannot import"]),
        (["own:number"], ["own:number", "int"]),
        (["broken:loss"], ["broken:loss", "SyntaxError"]),
        (["own:misnamed"], ["own:misnamed", "`logit`", "did you mean 'logits'?", "labels"]),
        (["own:unknown"], ["own:unknown", "`probabilities`", "activation_logits"]),
        (["own:needy"], ["own:needy", "`power`", "no default"]),
        (["own:flat"], ["own:flat", "logits", "no gradient"]),
    ],
    ids=str,
)  # fmt: skip
def test_words(refuses, own, words, names):
    refuses("check", *words, names=names)
