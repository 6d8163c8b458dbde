"""metrics.jsonl after kills and damage: every good row is kept, and what is wrong is said."""

import json

import pytest

from segjax.train import logs

GOOD = [
    {"step": step, "split": split, "name": "loss", "value": 1.0 / step, "count": 8.0}
    for step in (1, 2, 3)
    for split in ("train", "validation")
]
BAD = {
    "is not JSON": b'{"step": 2, "split": "tra',
    "is not an object": b"12",
    "is not UTF-8": b'{"step": 2, "split": "\xff\xfe"}',
    "has no step": b'{"split": "train", "name": "loss", "value": 1.0, "count": 8.0}',
    "has a wrong step": b'{"step": "2", "split": "train", "name": "a", "value": 1, "count": 1}',
    "has no value": b'{"step": 2, "split": "train", "name": "loss", "count": 8.0}',
}


def lines(rows):
    return [json.dumps(row).encode() for row in rows]


@pytest.mark.parametrize("words", BAD)
def test_damaged_line_costs_no_good_row(tmp_path, capsys, words):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"\n".join([*lines(GOOD[:3]), BAD[words], *lines(GOOD[3:]), b""]))
    before = path.read_bytes()
    assert logs.read_rows(path) == GOOD and path.read_bytes() == before
    logs.forget_after(path, step=2, evaluated=2)
    assert path.read_bytes() == b"\n".join([*lines(GOOD[:4]), b""])
    errors = capsys.readouterr().err.splitlines()
    assert errors == [f"segjax: {path}: damaged: line 4 {words}; left out"] * 2
    assert logs.read_rows(path) == GOOD[:4] and capsys.readouterr().err == ""


def test_several_damaged_lines_are_one_line(tmp_path, capsys):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"\n".join([b"", b"12", *lines(GOOD), b"{", b""]))
    assert logs.read_rows(path) == GOOD
    errors = capsys.readouterr().err
    assert errors == f"segjax: {path}: damaged: line 1 is not JSON, and 2 more; left out\n"


def test_last_line_cut_by_a_kill_is_no_damage(tmp_path, capsys):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"\n".join(lines(GOOD))[:-3])
    assert logs.read_rows(path) == GOOD[:-1]
    path.write_bytes(b"\n".join(lines(GOOD)))
    assert logs.read_rows(path) == GOOD and capsys.readouterr().err == ""


def test_rows_of_an_evaluation_that_the_checkpoint_does_not_know_go(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"\n".join([*lines(GOOD), b""]))
    logs.forget_after(path, step=3, evaluated=1)
    kept = [(row["step"], row["split"]) for row in logs.read_rows(path)]
    assert kept == [(1, "train"), (1, "validation"), (2, "train"), (3, "train")]
