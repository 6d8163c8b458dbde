"""Files that a run wrote, read again: whole, or named."""

import dataclasses
import json
import math
import shutil

import numpy as np
import pytest

from segjax.errors import UserError
from segjax.inference import evaluate
from segjax.metrics import statistics
from segjax.report import curves, run, run_text, tables, text
from segjax.tasks.metric import Metric
from segjax.train import workdir


@pytest.mark.parametrize(
    "content",
    [
        "image,x,y\na,1,2\n\n",
        "image,x,y\na,1\nb,1,2\n",
        "image,x,y\na,1,two\n",
        "",
        "image\0,x\n\0",
    ],
)
def test_a_damaged_table_is_named(tmp_path, content):
    path = tmp_path / "predictions_validation.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=f"{path}: cannot read it"):
        tables.read_table(path)


@pytest.mark.parametrize("content", ["[]", "12", '{"split": "validation"}', "{", "\xff"])
def test_a_damaged_result_is_named(tmp_path, content):
    path = tmp_path / "metrics_validation.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=f"{path}: cannot read it"):
        tables.read_json(path, *run.RESULT)


@pytest.mark.parametrize("name", ["baseline.json", "trivial.json"])
def test_what_the_baseline_learned(tmp_path, name):
    path = tmp_path / name
    assert workdir.read_baseline(tmp_path) is None
    path.write_text("[1, 0.5]")
    assert workdir.read_baseline(tmp_path) == [1, 0.5]
    for content in ("12", "{}", "[]", '["a"]', "[null]", "["):
        path.write_text(content)
        with pytest.raises(UserError, match=f"{path}: cannot read it"):
            workdir.read_baseline(tmp_path)


def test_what_is_not_defined_is_null_in_json_and_a_dash_in_the_report(
    tmp_path, trained, command_settings
):
    folder = tmp_path / "copy"
    shutil.copytree(trained, folder)
    path = folder / "metrics_validation.json"
    content = json.loads(path.read_text(), parse_constant=pytest.fail)
    content["metrics"]["distance_pixels"] = content["baseline"]["distance_pixels"] = None
    path.write_text(json.dumps(content))
    run.write(folder)
    lines = (folder / "report.md").read_text().splitlines()
    row = next(line for line in lines if "| distance in pixels" in line)
    assert f"| {text.UNKNOWN} |" in row and "None" not in row and "nan" not in row
    content["metrics"] = []
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=f"{path}: cannot read it"):
        run.write(folder)


def test_numbers_for_json_have_neither_nan_nor_infinity():
    values = {"auroc": math.nan, "loss": math.inf, "air": 0.25}
    written = json.dumps(evaluate._numbers(values), allow_nan=False)
    read = tables.read_numbers(json.loads(written))
    assert math.isnan(read["auroc"]) and math.isnan(read["loss"]) and read["air"] == 0.25


def test_cases_that_a_mean_leaves_out_are_counted():
    metrics = (
        Metric("distance", ("a",)),
        Metric("both", ("a", "b")),
        Metric("at_the_end", ("b",), cases="_ES"),
        Metric("missing", ("a",), statistics.not_finite),
        Metric("of_no_column", ("c",)),
    )
    columns = {"a": np.array([1.0, np.nan, np.inf, 2.0]), "b": np.array([np.nan, 1.0, 1.0, 1.0])}
    names = ["1_ED", "1_ES", "2_ED", "2_ES"]
    split = run_text.Split({}, metrics, {}, 1, names, columns)
    assert run_text._left_out(split) == [
        "distance: 2 of 4 cases have no finite value and are left out",
        "both: 3 of 4 cases have no finite value and are left out",
    ]
    assert run_text._left_out(dataclasses.replace(split, metrics=metrics[2:])) == []


def test_a_run_without_its_table_says_how_to_make_it(tmp_path, trained):
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "metrics_validation.json").unlink()
    report = run.write(tmp_path / "run").read_text()
    assert f"`segjax evaluate --workdir {tmp_path / 'run'}` makes it" in report


def test_panels_of_the_curves_have_units_and_directions():
    rows = [
        {"step": 1, "split": "validation", "name": name, "value": 2.0}
        for name in ("hausdorff/LV", "gradient_share")
    ]
    metrics = [Metric("hausdorff/LV", ("a",), title="HD LV", unit="mm", higher_is_better=False)]
    drawn = curves.curves_figure(rows, metrics=metrics)
    titles = [axes.get_title() for axes in drawn.axes if axes.get_visible()]
    assert titles == ["HD LV (mm) ↓", "gradient share"]
