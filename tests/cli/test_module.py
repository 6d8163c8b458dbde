"""`python -m segjax` is the command."""

import runpy
import sys

import pytest


def test_it_takes_the_same_words(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["segjax", "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("segjax", run_name="__main__")
    assert ended.value.code == 0 and "usage: segjax" in capsys.readouterr().out
