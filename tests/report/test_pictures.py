"""The pictures of a run's report: of which split they are, and what becomes of earlier ones."""

import re
import shutil

import pytest
from matplotlib.figure import Figure

from segjax.cli import main
from segjax.data.dataset import Dataset
from segjax.report import pictures, run
from segjax.report.pictures import Picture

pytestmark = [pytest.mark.usefixtures("command_settings"), pytest.mark.pictures]
KEPT = "- Pictures of cases are those of an earlier report, and were not drawn again: it is gone"


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory, trained, command_settings):
    """A run with the tables and the report of two splits."""
    folder = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(trained, folder)
    assert main(["evaluate", "--workdir", str(folder), "--split", "test"]) == 0
    assert main(["report", str(folder)]) == 0
    return folder


@pytest.fixture
def copy(tmp_path, evaluated):
    return shutil.copytree(evaluated, tmp_path / "run")


@pytest.fixture
def gone(monkeypatch):
    """The set is not there."""
    monkeypatch.setattr(Dataset, "obstacle", lambda self: "it is gone")


def captions(text):
    """What stands below each picture, by its name."""
    return dict(re.findall(r"!\[(\w+)\]\(figures/\1\.png\)\n\n(.*)\n", text))


def test_captions_name_the_split_and_the_metric_of_the_choice(evaluated):
    found = captions((evaluated / "report.md").read_text())
    for split in ("test", "validation"):
        told = f"**{split}.** The cases with the smallest, a middle and the largest distance in pix"
        assert found[f"cases_{split}"].startswith(told)
    assert set(found) == {path.stem for path in (evaluated / "figures").iterdir()}


def test_a_report_tells_how_the_test_is_looked_at_where_it_is_not(evaluated, copy):
    command = f"`segjax evaluate --workdir {copy} --split test`"
    told = "the table of `test` is of cases that chose nothing."
    assert told in (evaluated / "report.md").read_text()
    (copy / "metrics_test.json").unlink()
    assert command in run.write(copy).read_text()


def test_pictures_of_a_set_that_is_gone_stay_with_their_captions(evaluated, copy, gone):
    before = captions((evaluated / "report.md").read_text())
    images = {path: path.read_bytes() for path in (copy / "figures").iterdir()}
    for _ in range(2):  # the second report reads the first one's captions
        text = run.write(copy).read_text()
        assert captions(text) == before and len(before) == 7
        assert text.count(KEPT) == 2
    named = {p: content for p, content in images.items() if p.stem != "learning_curves"}
    assert {path: path.read_bytes() for path in named} == named
    # The run remembers that there was a test
    (copy / "metrics_test.json").unlink()
    assert "--split test` looks at cases" in run.write(copy).read_text()


def test_pictures_without_a_report_are_shown_and_missing_ones_said(copy, gone):
    (copy / "report.md").unlink()
    shutil.move(copy / "figures", copy.parent / "away")
    (copy / "figures").mkdir()
    shutil.copy(copy.parent / "away" / "cases_test.png", copy / "figures")
    text = run.write(copy).read_text()
    found = captions(text)
    assert set(found) == {"learning_curves", "cases_test"}
    assert found["cases_test"] == "**test.** Drawn by an earlier report."
    assert text.count(KEPT) == 1 and text.count("- No pictures of cases: it is gone") == 1


def test_the_name_of_a_split_may_end_with_that_of_another(tmp_path):
    (tmp_path / "figures").mkdir()
    for name in ("cases_test", "cases_my_test", "learning_curves"):
        (tmp_path / "figures" / f"{name}.png").write_bytes(b"")
    lines = pictures.lines({"cases_test": Picture(""), "cases_my_test": Picture("Mine.")})
    (tmp_path / "report.md").write_text("\n".join(lines))
    left = {
        split: pictures.left(tmp_path, split, ["test", "my_test"]) for split in ("test", "my_test")
    }
    assert left["test"] == {"cases_test": Picture("**test.** Drawn by an earlier report.")}
    assert left["my_test"] == {"cases_my_test": Picture("**my_test.** Mine.")}


def test_a_figure_of_a_split_says_so():
    figure = Figure()
    figure.set_label("The cases.")
    assert pictures.drawn({"cases": figure}, "test") == {
        "cases_test": Picture("**test.** The cases.", figure)
    }
