"""The report of a sweep whose trainings ask different things: a table and a report for each."""

import json
import types

import numpy as np
import pytest

from segjax.errors import UserError
from segjax.report import results, sweep
from segjax.train.sweepdir import folder_of
from tests.report.fabricated import COLUMNS, VALUES, Volumes, lines_of, write_manifest, write_point

TASK = "tests.report.test_questions:Asked"
ROWS = [f"of={of},loss={loss}" for of in ("left", "right") for loss in ("one", "two")]
POINTS = [{"arg": row, "seed": seed} for row in ROWS for seed in (0, 1)]


class Asked(Volumes):
    """Volumes of which something is asked."""

    explained = types.MappingProxyType({})

    def __init__(self, *, of):
        self.question = f"the {of} side"


def fabricate(folder, points=POINTS):
    """Both sides have cases of their own; the second loss is worse on the left, better right."""
    write_manifest(folder, POINTS)
    for point in points:
        of = point["arg"].partition(",")[0].removeprefix("of=")
        sign = -1 if of == "left" else 1
        values = VALUES[0, point["seed"]] + (0.1 * sign if "two" in point["arg"] else 0)
        place = write_point(
            folder, point, np.round(values, 6), cases=[f"{of}{k}" for k in range(6)],
            task=TASK, task_options={"of": of},
        )  # fmt: skip
        path = place / "metrics_validation.json"
        baseline = {"baseline": {"dice_RV": 0.25 if of == "left" else 0.5}}
        path.write_text(json.dumps(json.loads(path.read_text()) | baseline))
    return folder


def test_each_question_has_its_cases_reference_baseline_and_best_row(tmp_path):
    read = results.read(fabricate(tmp_path))
    assert list(read) == ["the left side", "the right side"]
    for of, each in read.items():
        assert each.question == of
        assert [row.label for row in each.rows] == [r for r in ROWS if of.split()[1] in r]
        assert each.cases == tuple(f"{of.split()[1]}{k}" for k in range(6)) and not each.dropped
    assert read["the left side"].baseline == {"dice_RV": 0.25}
    assert sweep.write(tmp_path) == tmp_path / "report.md"
    lines = lines_of(tmp_path)
    assert len(lines) == 4 * len(COLUMNS)
    for row in ROWS:
        line, first = lines[row, "dice_RV"], row.replace("two", "one")
        assert line["reference"] == first
    assert float(lines[ROWS[1], "dice_RV"]["difference"]) == pytest.approx(-0.1)
    assert float(lines[ROWS[3], "dice_RV"]["difference"]) == pytest.approx(0.1)


def test_the_overview_has_a_table_for_each_and_leads_to_its_report(tmp_path):
    sweep.write(fabricate(tmp_path))
    text = (tmp_path / "report.md").read_text()
    assert "Its trainings ask 2 things" in text
    left, right = text.partition("## the left side")[2].split("## the right side")
    for of, part, baseline in (("left", left, "0.250"), ("right", right, "0.500")):
        assert part.count("| `of=") == 2 and part.count(f"| `of={of},") == 2
        assert f"| baseline, without a network |  | {baseline} |" in part
        assert f"differs from `of={of},loss=one`" in part
        best = f"| `of={of},loss={'one' if of == 'left' else 'two'}` | 2 | **"
        assert best in part and part.count("| 2 | **") == 1
        place = tmp_path / "reports" / f"the_{of}_side"
        assert f"](reports/the_{of}_side/report.md)" in part
        own = (place / "report.md").read_text()
        assert own.startswith("# Sweep of experiments/acdc/table2.py:paper, the " + of)
        assert "## HD RV (mm) ↓" in own
        assert {row for row, _ in lines_of(place)} == {row for row in ROWS if of in row}
        for picture in own.split("](figures/")[1:]:
            assert (place / "figures" / picture.partition(")")[0]).exists()
    tex = (tmp_path / "report.tex").read_text()
    assert tex.count("\\begin{table*}") == 2
    assert "{The left side. Over" in tex and "{The right side. Over" in tex


def test_against_stands_for_those_that_ask_the_same(tmp_path):
    sweep.write(fabricate(tmp_path), against=ROWS[3])
    lines = lines_of(tmp_path)
    assert lines[ROWS[2], "dice_RV"]["reference"] == ROWS[3]
    assert lines[ROWS[1], "dice_RV"]["reference"] == ROWS[0]
    with pytest.raises(UserError, match="did you mean 'of=right,loss=two'") as caught:
        sweep.write(tmp_path, against="of=right,loss=tow")
    assert all(row in str(caught.value) for row in ROWS)


def test_what_is_missing_is_said_once(tmp_path):
    sweep.write(
        fabricate(tmp_path, points=[p for p in POINTS if p["seed"] or "two" not in p["arg"]])
    )
    text = (tmp_path / "report.md").read_text()
    missing = f"**Not done yet: `{ROWS[1]}`: 1 of 2 points; `{ROWS[3]}`: 1 of 2 points.**"
    assert text.count("Not done yet") == 1 and missing in text
    # A setting of which nothing is done asks nobody knows what: it is named, once
    fabricate(tmp_path / "b", points=[p for p in POINTS if p["arg"] != ROWS[3]])
    sweep.write(tmp_path / "b")
    assert (
        f"**Not done yet: `{ROWS[3]}`: 2 of 2 points.**" in (tmp_path / "b/report.md").read_text()
    )


def test_reports_of_questions_never_share_a_folder():
    asked = ["finding a", "finding_a", "Finding A", "Gefäß", "???", "x" * 300, "x" * 301, "", ".."]
    places = sweep._folders(asked)
    assert list(places) == asked and len({p.casefold() for p in places.values()}) == len(asked)
    assert places["finding a"] == "reports/finding_a" and places["Gefäß"] == "reports/Gefäß"
    assert max(map(len, places.values())) < 80
    assert not any("/.." in place for place in places.values())
    assert all(place.count("/") == 1 and not place.endswith("/") for place in places.values())


def test_one_question_alone_has_one_report(tmp_path):
    read = results.read(fabricate(tmp_path, points=POINTS[:4]))
    assert [each.question for each in read.values()] == ["the left side"]
    sweep.write(tmp_path)
    title = (tmp_path / "report.md").read_text().splitlines()[0]
    assert title == "# Sweep of experiments/acdc/table2.py:paper, the left side"
    assert not (tmp_path / "reports").exists() and (tmp_path / "figures").exists()
    assert folder_of(tmp_path, POINTS[0]).exists()
