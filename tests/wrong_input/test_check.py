"""Wrong names, and losses of one's own that `segjax check` cannot try."""

import sys

import pytest

pytestmark = pytest.mark.usefixtures("command_settings")

OWN = """
def misnamed(logit, labels): return logit
def unknown(logits, probabilities): return logits
def needy(logits, labels, *, power): return logits ** power
def flat(labels): return labels
def optional(logits, labels, alpha=0.5, beta=None): return alpha * logits
def perhaps(logits, labels, importance=None): return logits
number = 3
"""
EXAMPLES = """
import sys
import numpy as np
FULL = {"logits": np.ones((2, 4, 4, 3)), "probabilities": np.ones((2, 4, 4))}
def loss(logits, probabilities, *, power=1): return (logits ** power).mean((1, 2, 3))
def needy(logits, probabilities, *, power, where): return logits
def whole(logits, probabilities): return logits
def optional(logits, probabilities, alpha=0.5): return logits
def lacking(): return {"logits": FULL["logits"]}
def more(): return FULL | {"probability": 1}
def text(): return FULL | {"probabilities": "many"}
def objects(): return FULL | {"probabilities": [None, {}]}
def number(): return FULL | {"probabilities": 0.5}
def imaginary(): return FULL | {"probabilities": np.ones((2, 4), complex)}
def ragged(): return FULL | {"probabilities": [[1, 2], [3]]}
def several(): return FULL | {"probabilities": np.ones((3, 4, 4))}
def empty(): return FULL | {"logits": np.ones((0, 4, 4, 3))}
def integers(): return FULL | {"logits": np.ones((2, 4, 4, 3), int)}
def missing(): return FULL | {"logits": np.full((2, 4, 4, 3), np.nan)}
def infinite(): return FULL | {"probabilities": np.full((2, 4, 4), np.inf, np.float16)}
def sure(): return {"probabilities": np.ones((2, 4), int), "labels": np.ones((2, 4), bool)}
def counts(probabilities, labels): return labels
def raises():
    raise ValueError("no\\n  such")
def leaves(): sys.exit(3)
def a_list(): return [1, 2]
def by_number(): return {1: np.ones(2)}
def wants(n): return FULL
def full(): return FULL
notfunction = 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in ("own", "broken", "given"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "given.py").write_text(EXAMPLES)
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
        (["own:"], ["'own:'", "is written package.module:loss"]),
        (["own:number"], ["own:number", "int"]),
        (["broken:loss"], ["broken:loss", "SyntaxError"]),
        (["own:misnamed"], ["own:misnamed", "`logit`", "did you mean 'logits'?", "labels"]),
        (["own:unknown"], ["own:unknown", "`probabilities`", "activation_logits", "--example"]),
        (["own:unknown"], ["a function of yours that gives a dict of arrays by parameter name"]),
        (["own:needy"], ["own:needy", "`power`", "no default", "--example"]),
        (["own:optional"], ["own:optional", "`alpha`", "put `*,` before `alpha`"]),
        (["own:optional"], ["positional parameters are arrays and keyword-only ones options"]),
        (["own:perhaps"], ["own:perhaps", "put `*,` before `importance`"]),
        (["own:flat"], ["own:flat", "logits", "no gradient"]),
    ],
    ids=str,
)  # fmt: skip
def test_words(refuses, own, words, names):
    refuses("check", *words, names=names)


@pytest.mark.parametrize(
    "loss, example, names",
    [
        ("loss", "lacking", ["lacks `probabilities`", "given:loss", "it has logits"]),
        ("needy", "full", ["lacks `power`", "given:needy"]),
        ("loss", "more", ["takes no `probability`", "mean 'probabilities'?", "power"]),
        ("loss", "text", ["`probabilities` takes an array of numbers, got str"]),
        ("loss", "objects", ["`probabilities` takes an array of numbers, got list"]),
        ("loss", "imaginary", ["`probabilities`", "got an array of complex128"]),
        ("loss", "ragged", ["`probabilities`", "ValueError"]),
        ("loss", "number", ["one batch as their first axis", "probabilities []"]),
        ("loss", "several", ["logits [2, 4, 4, 3], probabilities [3, 4, 4]"]),
        ("loss", "empty", ["`logits` is empty, [0, 4, 4, 3]"]),
        ("loss", "integers", ["`logits` takes floating numbers, got int64"]),
        ("loss", "missing", ["`logits` is not finite"]),
        ("loss", "infinite", ["`probabilities` is not finite"]),
        ("counts", "sure", ["none of its arrays has floating numbers", "no gradient"]),
        ("loss", "raises", ["ValueError: no such (line "]),
        ("loss", "leaves", ["sys.exit(3)"]),
        ("loss", "a_list", ["gives list, takes a dict"]),
        ("loss", "by_number", ["takes a dict of arrays by parameter name"]),
        ("loss", "wants", ["TypeError", "'n'"]),
        ("loss", "notfunction", ["is int, takes a function"]),
        ("loss", "absent", ["cannot import", "absent"]),
        ("optional", "full", ["put `*,` before `alpha`"]),
    ],
)
def test_an_example(refuses, own, loss, example, names):
    head = [] if loss == "optional" else [f"segjax: --example given:{example}: "]
    words = ["check", f"given:{loss}", "--example", f"given:{example}"]
    refuses(*words, names=[*head, *names])


@pytest.mark.parametrize(
    "words, names",
    [
        (["--example", "given:full"], ["--example given:full", "the losses that it is for"]),
        (["given:loss", "--example", "full"], ["--example full", "as in mymodule:example"]),
        (["given:loss", "--example", "nowhere:full"], ["cannot import", "'nowhere'", "looked in"]),
        (["given:loss", "--example"], ["--example", "expected one argument"]),
        (["given:loss", "given:whole", "--example", "given:more"], ["takes no `probability`"]),
        (["given:loss", "dice", "--example", "given:full"], ["dice takes no `probabilities`"]),
    ],
)
def test_words_around_an_example(refuses, own, words, names):
    refuses("check", *words, names=names)
