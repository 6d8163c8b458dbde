"""The text of a run's report: only columns that hold something, and what each figure is."""

import dataclasses
import re

import numpy as np
import pytest
from ml_collections import ConfigDict

from segjax import stats
from segjax.config.defaults import base
from segjax.metrics import statistics
from segjax.recipes.loss_terms import term
from segjax.report import run_text
from segjax.tasks.metric import Metric

METRICS = (
    Metric("dice", ("mean_dice",), title="mean Dice", description="Overlap."),
    Metric("r_aed", ("distance",), statistics.r_aed, title="R-AED"),
    Metric("far", ("distance",), unit="mm", higher_is_better=False, description="How far."),
    Metric(
        "lost",
        ("distance",),
        statistics.not_finite,
        higher_is_better=False,
        unit="cases",
        description="How many have none.",
    ),
)
COLUMNS = {
    "mean_dice": np.linspace(0.2, 0.9, 30),
    "distance": np.append(np.linspace(1.0, 9.0, 29), np.inf),
    "area": np.ones(30),
}
NAMES = [f"case{i}" for i in range(30)]


def split(**changes):
    values = {m.name: m.of(COLUMNS) for m in METRICS} | {"loss": 0.5, "loss/dice": 0.25}
    result = {"split": "test", "step": 12, "count": 30.0, "metrics": values, "baseline": None}
    result |= changes.pop("result", {})
    told = {"area": "share of the image", "baseline": "answers nothing"}
    given = {"explained": told, "validations": 4, "names": NAMES, "columns": COLUMNS}
    given["folder"] = "work/run"
    return run_text.Split(result, METRICS, **given | changes)


def cells(lines):
    """The rows of the table by their first cell, and the header."""
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in lines if line[:1] == "|"]
    return rows[0], {row[0]: row[1:] for row in rows[2:]}


def test_units_directions_deviations_and_intervals():
    header, rows = cells(run_text.section(split(), base()))
    assert header == ["metric", "this run", "sd over cases", "median (quartiles)", "95 % interval"]
    assert list(rows) == [
        "mean Dice ↑",
        "R-AED ↑",
        "far (mm) ↓",
        "loss ↓",
        "loss/dice ↓",
    ]
    low, high = stats.bootstrap_interval(COLUMNS["mean_dice"])
    sd = np.std(COLUMNS["mean_dice"], ddof=1)
    quartiles = np.quantile(COLUMNS["mean_dice"], [0.5, 0.25, 0.75])
    middle = "{:.3f} ({:.3f} to {:.3f})".format(*quartiles)
    assert rows["mean Dice ↑"] == ["0.550", f"{sd:.3f}", middle, f"{low:.3f} to {high:.3f}"]
    finite = COLUMNS["distance"][:-1]
    given = COLUMNS["distance"][None]
    low, high = stats.crossed_bootstrap_interval(given, statistic=statistics.r_aed, unknown=True)
    value, shown_sd, middle, interval = rows["R-AED ↑"]
    assert float(value) == pytest.approx(1 / (finite.mean() + 0.1), abs=1e-3)
    assert shown_sd == middle == "" and interval == f"{low:.3f} to {high:.3f}"
    assert rows["far (mm) ↓"][1] == f"{np.std(finite, ddof=1):.2f}"
    # A mean over batches has no deviation over cases; how many have no distance is said below
    assert rows["loss ↓"] == ["0.500", "", "", ""]


def test_columns_of_the_baseline_and_the_paper_where_there_are_any():
    config = base()
    config.paper = {"dice": (0.91, 0.05)}
    made = split(result={"baseline": {"dice": 0.02}})
    header, rows = cells(run_text.section(made, config))
    assert header[5:] == ["baseline", run_text.PAPER]
    assert rows["mean Dice ↑"][4:] == ["0.020", "0.91 ± 0.05"]
    assert rows["far (mm) ↓"][4:] == ["", ""]
    without = split(columns=None, names=())
    assert cells(run_text.section(without, base()))[0] == ["metric", "this run"]


def test_the_interval_of_a_function_of_the_mean_is_that_of_the_mean():
    """Of the same resamples: 1 / (d + 0.1) of both ends."""
    columns = {**COLUMNS, "distance": np.abs(COLUMNS["mean_dice"])}
    _, rows = cells(run_text.section(split(columns=columns), base()))
    low, high = stats.bootstrap_interval(columns["distance"])
    shown = [float(part) for part in rows["R-AED ↑"][-1].split(" to ")]
    assert shown == pytest.approx([1 / (high + 0.1), 1 / (low + 0.1)], abs=6e-3)


@pytest.mark.parametrize(
    "count, said",
    [(1, "1 case: too few"), (4, "4 cases: too few"), (7, "7 cases are few"), (20, None)],
)
def test_few_cases_are_said_to_be_few(count, said):
    columns = {name: values[:count] for name, values in COLUMNS.items()}
    made = split(result={"count": float(count)}, columns=columns, names=NAMES[:count])
    text = "\n".join(run_text.section(made, base()))
    assert ("few" in text) == (said is not None)
    assert said is None or said in text
    assert ("| too few cases |" in text) == (count < 5)
    assert f"## test: {count} case{'s' if count > 1 else ''}, checkpoint of step 12" in text


def test_the_choice_of_the_checkpoint_and_cases_that_are_left_out():
    config = base()
    config.evaluate.best = "far"
    made = split(result={"split": "validation"})
    text = "\n".join(run_text.section(made, config))
    assert (
        "chosen by these very cases (the best `far` of 4 validations), which overestimates" in text
    )
    assert "keep cases apart" in text
    with_test = dataclasses.replace(made, has_test=True)
    text = "\n".join(run_text.section(with_test, config))
    command = "`segjax evaluate --workdir work/run --split test`"
    assert f"{command} looks at cases that chose nothing" in text
    tested = dataclasses.replace(with_test, tested=True)
    text = "\n".join(run_text.section(tested, config))
    assert "the table of `test` is of cases that chose nothing" in text and command not in text
    assert "far: 1 of 30 cases have no finite value and are left out" in text
    assert "chosen by" not in "\n".join(run_text.section(split(), config))


@pytest.mark.parametrize(
    "baseline, said",
    [
        (0.20, "better than the baseline."),
        (0.50, "cannot be told from the baseline, which lies in the interval."),
        (0.60, "cannot be told from the baseline, which lies in the interval."),
        (0.90, "not better than the baseline."),
    ],
)
def test_every_metric_is_said_to_stand_to_the_baseline_as_its_interval_shows(baseline, said):
    made = split(result={"baseline": {"dice": baseline, "r_aed": 3.0, "far": 2.0}})
    lines = run_text.section(made, base())
    low, high = map(float, cells(lines)[1]["mean Dice ↑"][3].split(" to "))
    assert 0.2 < low < 0.5 and 0.6 < high < 0.9
    worse = "R-AED, far"
    told = f"- {worse}: not better than the baseline."
    if said == "not better than the baseline.":
        told = f"- mean Dice, {worse}: {said}"
    else:
        assert f"- mean Dice: {said}" in lines
    assert told in lines
    assert "the baseline" not in "\n".join(run_text.section(split(), base()))


def test_what_is_not_defined_does_not_stand_to_the_baseline():
    values = split().result["metrics"] | {"dice": np.nan}
    baseline = {"dice": 0.5, "r_aed": np.nan, "far": 2.0}
    lines = run_text.section(split(result={"metrics": values, "baseline": baseline}), base())
    told = [line for line in lines if line.endswith("the baseline.")]
    assert told == ["- far: not better than the baseline."]


def test_without_an_interval_a_better_value_is_only_so_on_these_cases():
    columns = {name: values[:4] for name, values in COLUMNS.items()}
    result = {"count": 4.0, "baseline": {"dice": 0.1, "far": 2.0}}
    lines = run_text.section(split(result=result, columns=columns, names=NAMES[:4]), base())
    assert (
        "- mean Dice: better than the baseline on these cases, without an interval to say more."
        in (lines)
    )
    assert "- far: not better than the baseline." in lines


def test_cells_without_an_interval_name_patients_and_how_many_it_takes():
    patients = np.array([f"p{i % 3}" for i in range(30)])
    lines = run_text.section(split(patients=patients), base())
    assert cells(lines)[1]["mean Dice ↑"][3] == "too few patients"
    assert "- 3 patients: too few for an interval, which takes at least 5." in lines
    explained = "\n".join(run_text.explanation([split(patients=patients)], base()))
    assert "(bootstrap over patients, 10,000" in explained
    assert "what other patients of the same kind" in explained
    # Of many cases, only few of which have a value
    few = {**COLUMNS, "distance": np.append(np.arange(1.0, 5.0), np.full(26, np.nan))}
    lines = run_text.section(split(columns=few), base())
    assert cells(lines)[1]["far (mm) ↓"][3] == "too few cases"
    assert "- far: an interval takes at least 5 cases with a value." in lines


def test_the_numbers_of_a_cell_have_one_format():
    columns = {**COLUMNS, "mean_dice": np.append(np.linspace(0, 4e-4, 29), 0.0)}
    values = {m.name: m.of(columns) for m in METRICS}
    made = split(columns=columns, result={"metrics": values})
    _, _, middle, interval = cells(run_text.section(made, base()))[1]["mean Dice ↑"]
    for cell in (middle, interval):
        found = re.findall(r"[^ ()]+", cell.replace(" to ", " "))
        assert {len(number) for number in found} == {len("0.00019")}
    assert middle.startswith("0.00019 (")


def test_every_figure_and_column_is_explained_once():
    made = [split(), split(result={"split": "validation", "baseline": {"dice": 0.1}})]
    text = "\n".join(run_text.explanation(made, base()))
    for line in (
        "- **mean Dice** (`dice`): Overlap. Higher is better.",
        "- **far**: How far. Lower is better.",
        "- **R-AED** (`r_aed`): Higher is better.",
        "- **baseline**: answers nothing.",
    ):
        assert text.count(line) == 1
    assert "**loss**: What training lowers" in text and "**loss/dice**: The term `dice`" in text
    assert "`mean_dice`, whose mean is `dice`; `distance`, whose mean is `far`, of which" in text
    assert " `r_aed`, `lost` are made; `area`, share of the image." in text
    # A count that the table leaves out is in the files
    assert "- **lost**: How many have none. Lower is better." in text
    assert "How far this reaches" in text and "seed 0" in text
    assert run_text.explanation([], base()) == []


def test_the_head_shows_inputs_of_terms_the_version_and_sizes():
    config = base()
    inputs = {"logits": "auxiliary_logits"}
    terms = {"main": {"name": "dice", "weight": 1.0}}
    terms["other"] = {"name": "focal", "weight": 0.4, "gamma": 3.0, "inputs": inputs}
    config.loss = ConfigDict(terms)
    config.optimizer = ConfigDict({"name": "adam", "learning_rate": 1e-3})
    config.schedule, config.model = ConfigDict({"name": "constant"}), ConfigDict({"name": "Net"})
    config.task, config.data.name, config.data.image_size = "segmentation", "eyes", (64, 96)
    libraries = {"jax": "1", "flax": "2"}
    environment = {"libraries": libraries, "parameters": 1000, "total_steps": 3, "commit": None}
    environment |= {"devices": ["a"], "device_kind": "cpu", "examples": 44, "segjax": "9.9"}
    text = "\n".join(run_text.head(config, environment))
    assert "- loss: 1 x dice + 0.4 x focal (gamma = 3.0, logits = auxiliary_logits)" in text
    assert "64 x 96 pixels, an epoch of 44 examples" in text and "segjax 9.9, jax 1" in text
    assert "commit" not in text and "cases" not in text
    del config.loss["other"]
    environment["data"] = {"cases": {"train": 40, "test": 2}}
    text = "\n".join(run_text.head(config, environment))
    assert "- cases: 40 train, 2 test\n- loss: dice\n" in text
    config.loss.main = term("region_wise")
    assert "- loss: region_wise (maps = rectified)" in "\n".join(run_text.head(config, environment))
    config.loss.main = ConfigDict({"name": "gone.module:loss", "weight": 1.0, "sharpness": 2})
    assert "- loss: gone.module:loss (sharpness = 2)" in run_text.head(config, environment)
    # As earlier versions left it
    old = {name: value for name, value in environment.items() if name not in ("segjax", "examples")}
    assert re.search(r"1 x cpu, jax 1, flax 2$", "\n".join(run_text.head(config, old)), re.M)


def test_whatever_has_a_panel_is_explained_and_the_loss_beside_its_metric():
    told = {"loss": "It is taken of patches.", "resolution": "one pixel is one"}
    names = ["r_aed", "loss", "learning_rate", "weight/dice", "something"]
    text = "\n".join(run_text.explanation([split(explained=told)], base(), names))
    assert "some losses go below 0. It is taken of patches. Lower is better." in text
    assert "- **learning rate**: that of the optimiser" in text
    assert "- **weight/dice**: by what the term `dice` counts" in text
    assert "- **resolution**: one pixel is one." in text
    assert "something" not in text and "term `learning_rate`" not in text
