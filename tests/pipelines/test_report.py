"""The report of a pipeline: its table, its warnings, its files, for results that a test makes."""

import csv
import io
import json

import numpy as np
import pytest

from segjax.metrics import score_histogram
from segjax.pipelines import report
from segjax.pipelines.evaluation import Result, RowResult
from segjax.pipelines.run import shown
from segjax.tasks.lesions import metrics
from tests.pipelines import commands, tiny

COST = {"candidates": 9, "patches": 9, "left": 0, "coarse": 0}


def result(maps, true, *, split="test", patients=None, costs=None, names=None):
    """Of maps [photographs, h, w] by row."""
    rows = {}
    for name, arrays in maps.items():
        histograms = [score_histogram(a, t) for a, t in zip(arrays, true, strict=True)]
        lesions = dict.fromkeys(metrics.LESIONS, 0.0) | {"lesions": 1.0}
        columns = metrics.columns_of_rows([metrics.pixel_columns(h) | lesions for h in histograms])
        rows[name] = RowResult(np.sum(histograms, axis=0), columns)
    names = names or [f"eye_{number}" for number in range(len(true))]
    seconds = {"seconds": dict.fromkeys(("hgn", "half", "prn"), 0.25)}
    costs = costs or [COST] * len(true)
    return Result(
        split,
        tuple(names),
        tuple(not t.any() for t in true),
        tuple(patients or names),
        rows,
        tuple(seconds | {"prn": cost} for cost in costs),
    )


def scene(count=12, seed=0):
    """Maps of every row that are right to some degree, and the lesions; the last has none."""
    generator = np.random.default_rng(seed)
    true = generator.random((count, 8, 8)) < 0.2
    true[-1] = False
    maps = {
        name: np.clip(0.6 * true + generator.random(true.shape) * 0.6, 0, 1).astype(np.float32)
        for name in tiny.ROWS
    }
    return maps, true


@pytest.fixture
def written(tmp_path):
    """Writes a result, and reads what was written; options are those of `result`."""

    def write(maps=None, true=None, overrides=None, **options):
        given, labels = scene()
        made = commands.Place(None, "data").definition(**(overrides or {}))
        one = result(maps or given, labels if true is None else true, **options)
        thresholds = {name: row.best_threshold() for name, row in one.rows.items()}
        networks = dict.fromkeys(one.rows, "key")
        values = report.write(tmp_path, made, one, thresholds, networks)
        return one, values, (tmp_path / f"report_{one.split}.md").read_text()

    return write


def read(path):
    return list(csv.DictReader(io.StringIO(path.read_text())))


def tables(text):
    """The tables of a Markdown text as lists of rows of cells."""
    found, before = [], False
    for line in text.splitlines():
        here = line.startswith("|")
        if here and not before:
            found.append([])
        if here and not set(line) <= set("|-"):
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        before = here
    return found


def test_every_row_stands_in_one_table_with_the_papers_figures(written):
    _, values, text = written()
    header, *rows = tables(text)[0]
    assert [row[0] for row in rows] == [*tiny.ROWS, "U-Net of others"]
    assert {len(row) for row in rows} == {len(header)}
    hgn = dict(zip(header, rows[0], strict=True))
    assert hgn["AUC-PR (95 %)"].startswith(f"{values['HGN']['auc_pr_challenge33']:.4f} [0.3374] (")
    assert hgn["F1"] == f"{values['HGN']['f1']:.4f} [0.2500]"
    assert hgn["precision"] == f"{values['HGN']['precision']:.4f}"
    assert "[" not in "".join(rows[1])
    assert rows[-1][1] == "[0.1000]" and not any(rows[-1][2:])
    assert "Figures in brackets are published ones, of other networks" in text
    for name in ("challenge33", "exact", "eleven", "hit rule: overlap"):
        assert name in text


def test_without_a_paper_nothing_is_said_of_one(written):
    _, _, text = written(overrides={"paper": "()"})
    assert "[" not in text.replace("![", "") and "brackets" not in text


def test_intervals_are_over_photographs_and_named_few(written):
    _, _, text = written()
    assert "12 photographs, 11 with lesions, 1 healthy; all their pixels pooled." in text
    assert "interval over 12 photographs drawn again" in text
    assert "12 photographs are few: such an interval holds less often than in 95 %." in text
    assert "no order of rows is decided" not in text
    _, *rows = tables(text)[1]
    assert all(0 < float(row[-1]) <= 1 for row in rows)


def test_few_photographs_with_lesions_decide_nothing(written):
    maps, true = scene()
    true[1:] = False
    _, _, text = written(maps, true)
    assert "**With 1 photograph that has lesions no order of rows is decided.**" in text
    _, *rows = tables(text)[1]
    assert rows and all(row[-1] == "–" for row in rows)
    assert "–: p is given from 10 photographs with lesions on." in text
    true[2, 0, 0] = True
    _, _, text = written(maps, true)
    assert "**With 2 photographs that have lesions no order of rows is decided.**" in text


def test_four_photographs_get_no_interval(written, tmp_path):
    maps, true = scene(4)
    _, _, text = written(maps, true)
    assert " to " not in tables(text)[0][1][1]
    assert "4 photographs: too few for an interval, which takes at least 5." in text
    content = json.loads((tmp_path / "metrics_test.json").read_text())
    assert set(map(tuple, content["intervals"].values())) == {(None, None)}
    assert all(d["low"] is None and 0 < d["p"] <= 1 for d in content["differences"])


def test_photographs_of_one_patient_are_one_draw(written):
    maps, true = scene(12)
    pairs = [f"p{number // 2}" for number in range(12)]
    one, _, text = written(maps, true, patients=pairs)
    assert "interval over 6 patients drawn again" in text
    assert "6 patients are few" in text and "is a case of its own" not in text
    alone = result(maps, true)
    assert report.interval(one, "HGN") != report.interval(alone, "HGN")
    many = result(maps, true, patients=[f"p{number // 3}" for number in range(12)])
    assert np.isnan(report.interval(many, "HGN")).all()


def test_intervals_hold_the_value_and_differences_are_signed():
    maps, true = scene(20)
    maps["HGN"] = true.astype(np.float32)  # perfect
    one = result(maps, true)
    for name in tiny.ROWS:
        low, high = report.interval(one, name)
        value = report.summary(one.rows[name], 0.5)["auc_pr_challenge33"]
        assert low <= value + 1e-9 and value <= high + 1e-9
    better, worse = report.difference(one, "HGN", "half"), report.difference(one, "half", "HGN")
    assert better["difference"] == pytest.approx(-worse["difference"])
    assert better["low"] > 0 > worse["high"] and better["p"] == worse["p"] < 0.01


def test_where_nothing_is_predicted_precision_is_a_dash(written, tmp_path):
    maps, true = scene()
    maps["PRN"] = np.zeros_like(maps["PRN"])
    _, values, text = written(maps, true)
    header, *rows = tables(text)[0]
    prn = dict(zip(header, rows[3], strict=True))
    assert (prn["row"], prn["precision"], prn["F1"]) == ("PRN", "–", "0.0000")
    assert "–: not defined" in text and "nan" not in text.lower()
    assert (
        json.loads((tmp_path / "metrics_test.json").read_text())["rows"]["PRN"]["precision"] is None
    )
    table = list(csv.DictReader(io.StringIO((tmp_path / "rows_test.csv").read_text())))
    assert table[3]["row"] == "PRN" and table[3]["precision"] == "" and table[3]["f1"] == "0"
    assert shown(values, ("f1", "precision"))[3] == "PRN: f1 0.0000, precision –"


def test_what_a_bound_left_out_is_named(written, tmp_path):
    costs = [dict(COST) for _ in range(12)]
    costs[2]["left"], costs[5]["left"], costs[5]["coarse"] = 3, 4, 2
    _, _, text = written(costs=costs)
    line = (
        "prn: at most 400 patches a photograph (refine.most_patches): 7 candidates were left out "
        "and are 0 on 2 of 12 photographs (eye_2, eye_5); 2 keep the value of a coarser stride on "
        "1 of 12 photographs (eye_5)."
    )
    assert line in text
    assert json.loads((tmp_path / "metrics_test.json").read_text())["capped"] == [line]
    header, *rows = tables(text)[2]
    assert header[1:4] == ["hgn, s", "half, s", "prn, s"]
    assert [row[header.index("prn: left out")] for row in rows[:6]] == [
        "0",
        "0",
        "3",
        "0",
        "0",
        "4",
    ]
    assert rows[-1][0] == "mean" and rows[-1][header.index("hgn, s")] == "0.2"
    assert rows[-1][header.index("prn: candidates")] == "9"
    _, _, text = written()
    assert "at most" not in text.partition("## What it took")[2]


def test_figures_have_captions_and_the_row_of_predictions_is_named(written):
    _, _, text = written()
    for name, word in (
        ("precision_recall", "Precision and recall of all pixels"),
        ("found", "FROC"),
    ):
        picture, caption = text.partition(f"![{name}](figures/{name}_test.png)\n\n")[1:]
        assert picture and word in caption.partition("\n")[0]
    assert "`predict` writes PRN geometric, and takes its threshold of this table." in text


def test_reports_of_other_networks_are_named(written, tmp_path):
    maps, true = scene()
    one, _, _ = written(split="test")
    written(split="validation")
    thresholds = {name: row.best_threshold() for name, row in one.rows.items()}
    networks = dict.fromkeys(one.rows, "key")
    same = [tmp_path, thresholds, networks, {"validation"}]
    assert report.outdated(*same) == []
    others = networks | {"PRN": "another"}
    assert report.outdated(tmp_path, thresholds, others, {"validation"}) == [
        tmp_path / "report_test.md"
    ]
    assert report.outdated(tmp_path, thresholds, others, {"validation", "test"}) == []
    (tmp_path / "metrics_test.json").write_text("{")
    assert report.outdated(*same) == [tmp_path / "report_test.md"]


def test_names_with_commas_and_bars_break_no_table(written, tmp_path):
    rows = '(("a, | b", ("hgn",), "arithmetic"), ("c", ("half",), "arithmetic"))'
    overrides = {"rows": rows, "predicted": "c", "compared": "()", "paper": "()"}
    maps, true = scene()
    maps = {"a, | b": maps["HGN"], "c": maps["half"]}
    names = [f'eye, "{number}"' for number in range(12)]
    _, _, text = written(maps, true, overrides, names=names)
    assert "| a, \\| b |" in text and "No rows are compared." in text
    found = read(tmp_path / "photographs_test.csv")
    assert [(r["row"], r["image"]) for r in found[:12]] == [("a, | b", name) for name in names]
    assert {r["row"] for r in read(tmp_path / "rows_test.csv")} == {*maps}


def test_rows_without_refinement_have_no_patches_in_the_table(written):
    rows = '(("a", ("hgn",), "arithmetic"), ("c", ("half",), "arithmetic"))'
    overrides = {"rows": rows, "predicted": "c", "compared": "()", "paper": "()"}
    maps, true = scene()
    _, _, text = written({"a": maps["HGN"], "c": maps["half"]}, true, overrides)
    assert tables(text)[-1][0] == ["photograph", "hgn, s", "half, s"]
    assert "Strides" not in text
