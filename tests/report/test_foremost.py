"""A sweep of very many settings shows and tests the best ones; the others have their values."""

import numpy as np
import pytest

from segjax import stats
from segjax.report import comparison, results, sweep, sweep_text
from tests.report.fabricated import CASES, COLUMNS, LOSSES, lines_of, write_all


@pytest.fixture
def few(monkeypatch, tmp_path):
    """Three settings, of which one may be shown beside the reference."""
    monkeypatch.setattr(comparison, "MOST", 1)
    generator = np.random.default_rng(3)
    values = generator.uniform(0.6, 0.7, (3, 2, len(CASES), len(COLUMNS))).round(6)
    values[1] += 0.2
    write_all(tmp_path, values)
    return tmp_path


def test_the_best_and_the_reference_are_shown(few):
    text = sweep.write(few).read_text()
    reference, shown, left = (f"loss={loss}" for loss in LOSSES)
    assert "**Shown are 2 of 3 settings" in text and "The other 1 (2 trainings)" in text
    assert f"| `{shown}` |" in text and f"| `{reference}` |" in text
    assert "settings that are not shown: 0 of 2 failed" in text
    assert left not in text and f"less `{reference}`" in text
    text = sweep.write(few, against=left).read_text()
    assert reference not in text and f"| `{shown}` |" in text and f"less `{left}`" in text


def test_the_others_have_their_values_and_count_in_the_correction(few):
    read = next(iter(results.read(few).values()))
    sweep.write(few)
    lines = lines_of(few)
    assert len(lines) == 3 * len(COLUMNS)
    for metric in read.metrics:
        other = lines[f"loss={LOSSES[2]}", metric.name]
        column = next(row for row in read.rows if row.label == f"loss={LOSSES[2]}")
        mean = np.mean(column.columns[metric.columns[0]])
        assert float(other["mean"]) == pytest.approx(mean) and other["seed_means"]
        assert other["low"] == other["high"] == other["p"] == other["p_holm"] == ""
        shown = lines[f"loss={LOSSES[1]}", metric.name]
        # Two comparisons, the one that was not made with p = 1
        assert float(shown["p_holm"]) == pytest.approx(stats.holm([float(shown["p"]), 1.0])[0])
        assert float(shown["p_holm"]) > float(shown["p"])


def test_values_that_are_not_known_come_last(few):
    read = next(iter(results.read(few).values()))
    object.__setattr__(read.rows[1], "reached", np.array([np.nan, 0.9]))
    kept = comparison.foremost(read, f"loss={LOSSES[2]}")
    assert f"loss={LOSSES[1]}" not in [row.label for row in kept.rows]
    assert {row.label for row in kept.all_rows} == {f"loss={loss}" for loss in LOSSES}


def test_few_settings_are_all_shown(few, monkeypatch):
    monkeypatch.setattr(comparison, "MOST", len(LOSSES))
    read = next(iter(results.read(few).values()))
    assert comparison.foremost(read) is read and read.others == ()
    assert "Shown are" not in sweep.write(few).read_text()


def test_very_many_unfinished_settings_are_counted(few, monkeypatch):
    monkeypatch.setattr(sweep_text, "MOST", 1)
    read = next(iter(results.read(few).values()))
    read.done.update({f"loss={loss}": (1, 2) for loss in LOSSES})
    assert sweep_text.unfinished(read) == ["3 of 6 points of 3 settings"]
