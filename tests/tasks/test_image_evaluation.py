"""Evaluation of streamed splits: the same files as resident ones, in the memory of a batch."""

import json

import numpy as np
import pytest

from segjax.cli import main
from segjax.data import pipeline
from segjax.tasks.images.evaluation import of_all_processes
from segjax.train import parallel
from tests.train import runs

pytestmark = pytest.mark.usefixtures("command_settings")


def logged(folder):
    """metrics.jsonl without what depends on the clock."""
    rows = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [row for row in rows if row["name"] != "images_per_second"]


@pytest.fixture(scope="module")
def streamed(tmp_path_factory, data_dir, command_settings):
    """The run of `trained` with its splits streamed; the rows of each gathering of predictions."""
    folder, sizes = tmp_path_factory.mktemp("streamed") / "run", []

    def refuse(records, *, label):
        raise AssertionError(f"{label}: read whole")

    def gathered(array, own=parallel.Sharding.local_rows):
        rows = own(array)
        if rows.ndim > 1:  # a prediction, not a score
            sizes.append(len(rows))
        return rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "read_all", refuse)
        patch.setattr(parallel.Sharding, "local_rows", staticmethod(gathered))
        assert main(runs.words(folder, data_dir, data__resident="no")) == 0
    return folder, sizes


def test_a_streamed_split_has_the_baseline_and_the_table_of_a_resident_one(trained, streamed):
    folder, _ = streamed
    names = "metrics_validation.json", "predictions_validation.csv", "baseline.json"
    for name in names:
        assert (folder / name).read_text() == (trained / name).read_text()
    assert logged(folder) == logged(trained)
    assert json.loads((folder / names[0]).read_text())["baseline"]["distance"] > 0


def test_validation_gathers_no_predictions_and_the_table_a_batch_at_a_time(streamed):
    # Ten images in batches of eight: two for the table, none for the validation before it.
    assert streamed[1] == [8, 8]


def test_a_run_that_goes_on_keeps_its_baseline(trained, streamed, monkeypatch):
    from segjax.inference.open import load_trained
    from segjax.train import fit

    folder, _ = streamed
    before = (folder / "baseline.json").stat().st_mtime_ns
    made = load_trained(folder).experiment
    fit.write_baselines(made, [folder], lambda: pytest.fail("the split was opened"))
    assert (folder / "baseline.json").stat().st_mtime_ns == before


def test_rows_without_padding_keep_their_float64():
    batches = np.array([[[1, 1 / 3, 0], [1, np.pi, 1]], [[1, 5, 2], [0, 7, 3]]])
    table = of_all_processes(batches)
    np.testing.assert_array_equal(table, [[1 / 3, 0.0], [np.pi, 1.0], [5.0, 2.0]])
