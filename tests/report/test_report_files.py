"""What a sweep's report leaves on disk: LaTeX, figures, and one line for what is wrong."""

import json
import math
import re
import time

import numpy as np
import pytest

from segjax.cli import main
from segjax.config import sweeps
from segjax.errors import UserError
from segjax.report import comparison, figures, latex, results, sweep
from segjax.train.sweepdir import folder_of
from tests.report import fabricated
from tests.report.fabricated import (
    DISTANCE,
    POINTS,
    VALUES,
    write_all,
    write_manifest,
    write_point,
)

pytestmark = pytest.mark.pictures

# --- LaTeX ----------------------------------------------------------------------------------------


def unescaped(text):
    """LaTeX source without its escaped characters, so that what is left has a meaning."""
    return re.sub(r"\\[{}&%$#_\\]", "", text)


def test_latex_is_sound_whatever_a_label_holds(tmp_path):
    nasty = r"[a_b&c]{d}%e$f#g~h^i\j<k|l>*"
    write_all(
        tmp_path, VALUES[:2], [{"arg": arg, "seed": s} for arg in (nasty, "*") for s in (0, 1)]
    )
    sweep.write(tmp_path)
    tex = (tmp_path / "report.tex").read_text()
    label = latex.escape(nasty)
    assert label in tex and nasty not in tex
    assert label.startswith(r"[a\_b\&c]\{d\}\%e\$f\#g\textasciitilde{}h\textasciicircum{}i")
    body = "\n".join(line for line in tex.splitlines() if not line.startswith("%"))
    bare = unescaped(body)
    depth = np.cumsum([(c == "{") - (c == "}") for c in bare])
    assert depth.min() == 0 and depth[-1] == 0
    assert bare.count("$") % 2 == 0 and "%" not in bare and "#" not in bare
    environments = re.findall(r"\\(begin|end)\{(\w+\*?)\}", body)
    assert environments == [
        ("begin", "table*"), ("begin", "tabular"), ("end", "tabular"), ("end", "table*"),
    ]  # fmt: skip
    table = body[body.index("\\toprule") : body.index("\\bottomrule")]
    rows = [line for line in table.splitlines() if line.endswith(r"\\")]
    columns = re.search(r"tabular\}\{(l\w*)\}", body).group(1)
    assert len(rows) == 3
    for row in rows:
        assert unescaped(row.removesuffix(r"\\")).count("&") == len(columns) - 1
        assert row[0] not in "[*"
    text = (tmp_path / "report.md").read_text().splitlines()
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in text[2:6]}
    assert widths == {9}


# --- Figures and convergence ----------------------------------------------------------------------


def test_eq_8_and_the_share_that_failed():
    reached = np.array([0.9, 0.5, 0.92, 0.5, math.nan])
    x = np.array([0.4, 0.5, 0.9, 1.0])
    wanted = [np.mean([d <= at for d in reached]) for at in x]
    np.testing.assert_allclose(comparison.cdf(reached, x), wanted)
    assert wanted == [0, 0.4, 0.6, 0.8]
    assert comparison.failed_share(reached, 0.6) == 0.6
    assert comparison.failed_share(reached, 0.5) == 0.2  # at the threshold it has converged
    assert comparison.failed_share(np.array([1.0, 9.0]), 2.0, higher_is_better=False) == 0.5
    assert math.isnan(comparison.failed_share(np.array([]), 0.5))


def test_models_that_failed_to_converge_are_counted(tmp_path):
    reached = {"rectified": (0.9, 0.92), "boundary": (0.5, 0.9)}
    points = sweeps.product([{"arg": name} for name in reached], seed=[0, 1])
    write_manifest(tmp_path, points)
    for point in points:
        dice = reached[point["arg"]][point["seed"]]
        write_point(tmp_path, point, VALUES[0, 0], metrics={"dice": dice})
    read = results.read(tmp_path)[""]
    assert comparison.failure_threshold(read) == pytest.approx(0.75 * 0.91)
    sweep.write(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "- `rectified`: 0 of 2 failed" in text and "- `boundary`: 1 of 2 failed" in text
    assert main(["report", str(tmp_path), "--failed-below", "0.91"]) == 0
    text = (tmp_path / "report.md").read_text()
    assert "- `rectified`: 1 of 2 failed" in text and "- `boundary`: 2 of 2 failed" in text
    curves = figures.cdf_figure(read, 0.6).axes[0].lines
    np.testing.assert_allclose(curves[1].get_ydata(), [0, 0.5, 1, 1])
    np.testing.assert_allclose(curves[1].get_xdata()[1:3], [0.5, 0.9])


def test_figures_show_the_numbers_and_stand_in_the_report(tmp_path):
    values = VALUES.copy()
    values[2, :, 0, DISTANCE] = np.inf
    write_manifest(tmp_path, POINTS)
    for index, point in enumerate(POINTS):
        level = 0.1 * index
        curves = [(0, "dice", 0.0), (0, "loss", 9.0), (50, "dice", level), (50, "dice_RV", level)]
        if index == 0:
            curves += [(100, "dice", 0.7), (150, "dice", None)]
        write_point(tmp_path, point, values[index // 2, index % 2], curves=curves)
    read = results.read(tmp_path)[""]
    distance = next(m for m in read.metrics if m.name == "hausdorff_RV")
    boxes = figures.cases_figure(read, distance)
    clouds = [c.get_offsets() for c in boxes.axes[0].collections]
    by_case = VALUES[..., DISTANCE].mean(axis=1)
    np.testing.assert_allclose(clouds[0][:, 0], by_case[0])
    np.testing.assert_allclose(clouds[2][:, 0], by_case[2, 1:])
    assert "1 without a value" in [text.get_text() for text in boxes.axes[0].texts]
    again = [c.get_offsets() for c in figures.cases_figure(read, distance).axes[0].collections]
    np.testing.assert_array_equal(clouds[0], again[0])

    drawn = figures.curves_figure(read)
    assert [axes.get_title() for axes in drawn.axes] == ["dice ↑", "Dice RV ↑"]
    steps, mean, low, high = figures.seed_curves(read.rows[0], "dice")
    np.testing.assert_allclose(steps, [0, 50, 100])
    np.testing.assert_allclose([mean, low, high], [[0, 0.05, 0.7], [0, 0, 0.7], [0, 0.1, 0.7]])
    np.testing.assert_allclose(drawn.axes[0].lines[0].get_ydata(), mean)

    sweep.write(tmp_path)
    text = (tmp_path / "report.md").read_text()
    written = {f"figures/{path.name}" for path in (tmp_path / "figures").iterdir()}
    assert written == set(re.findall(r"\]\((.*?)\)", text)) and len(written) == 7
    # A distribution needs more than two trainings a setting
    assert "figures/convergence.png" not in written
    told = (
        "0 of 2 failed; at the last validation (volumes in the resampled grid): 0.100, 1 not finite"
    )
    assert f"- `loss=region_wise`: {told}\n" in text
    assert "During training (volumes in the resampled grid): the mean over seeds" in text


def test_a_distribution_of_five_trainings_is_drawn(tmp_path):
    points = [{"seed": seed} for seed in range(5)]
    write_manifest(tmp_path, points)
    for point in points:
        write_point(tmp_path, point, VALUES[0, 0], step=10 + point["seed"])
    report = sweep.write(tmp_path)
    assert "figures/convergence.png" in report.read_text()
    assert "best checkpoints of steps 10 to 14" in report.read_text()


def test_without_curves_there_is_no_figure_of_them(tmp_path):
    write_all(tmp_path, VALUES[:1], POINTS[:2])
    (folder_of(tmp_path, POINTS[0]) / "metrics.jsonl").unlink()
    sweep.write(tmp_path)
    assert not (tmp_path / "figures" / "validation_curves.png").exists()
    assert "validation_curves" not in (tmp_path / "report.md").read_text()


# --- What is wrong --------------------------------------------------------------------------------


def replace_cell(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


DAMAGES = {
    "sweep.json": lambda folder, path: path.write_text('{"points": 3}'),
    "metrics_validation.json": lambda folder, path: path.write_text('{"metri'),
    "metrics_validation.json ": lambda folder, path: path.write_text('{"metrics": {"loss": 1}}'),
    "predictions_validation.csv": lambda folder, path: path.unlink(),
    "predictions_validation.csv ": lambda folder, path: path.write_text(""),
    "predictions_validation.csv  ": lambda folder, path: replace_cell(path, "0.", "x."),
    "predictions_validation.csv   ": lambda folder, path: replace_cell(path, "\n", ",more\n"),
    "config.json": lambda folder, path: path.write_text("{"),
    "config.json ": lambda folder, path: path.write_text(
        json.dumps(fabricated.config_of(paper={"dice/RV": [0.9, 0.1, 0.2]}))
    ),
    "metrics.jsonl": lambda folder, path: path.write_text('{"step"\n{}\n{}\n'),
    "metrics.jsonl ": lambda folder, path: path.write_text('{"step": 1}\n'),
    "metrics.jsonl  ": lambda folder, path: path.write_bytes(path.read_bytes() + b"12\n"),
    "metrics.jsonl   ": lambda folder, path: path.write_bytes(b"\xff\n" + path.read_bytes()),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_named(tmp_path, capsys, name):
    write_all(tmp_path, VALUES[:1], POINTS[:2])
    file = name.strip()
    path = tmp_path / file
    if file != "sweep.json":
        path = folder_of(tmp_path, POINTS[1]) / file
    DAMAGES[name](tmp_path, path)
    assert main(["report", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert str(path) in error and error.count("\n") == 1
    assert not (tmp_path / "report.md").exists() and not (tmp_path / "figures").exists()


def test_wrong_words_and_empty_sweeps(tmp_path, capsys):
    def refused(*words):
        assert main([str(word) for word in words]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    write_all(tmp_path / "a")
    error = refused("report", tmp_path / "a", "--against", "loss=dise")
    assert "--against 'loss=dise'" in error and "did you mean 'loss=dice'?" in error
    assert "--failed-below" in refused("report", tmp_path / "a", "--failed-below", "nan")
    (tmp_path / "plain").mkdir()
    assert "--against" in refused("report", tmp_path / "a", tmp_path / "plain", "--against=x")
    assert not (tmp_path / "a" / "report.md").exists()

    write_manifest(tmp_path / "none", POINTS)
    assert "none of its 6 points is done yet" in refused("report", tmp_path / "none")
    write_manifest(tmp_path / "apart", POINTS[:2])
    write_point(tmp_path / "apart", POINTS[0], VALUES[0, 0])
    write_point(tmp_path / "apart", POINTS[1], VALUES[0, 1], cases=list("uvwxyz"))
    assert "no validation case in common" in refused("report", tmp_path / "apart")
    write_manifest(tmp_path / "bare", POINTS[:1])
    write_point(tmp_path / "bare", POINTS[0], VALUES[0, 0], columns=list("uvwxyz"))
    assert "no column that task" in refused("report", tmp_path / "bare")


def test_a_large_sweep_takes_seconds(tmp_path):
    points = sweeps.product([{"arg": f"loss=l{i}"} for i in range(5)], seed=[0, 1, 2])
    values = np.random.default_rng(0).uniform(0, 1, (5, 3, 100, 6))
    write_all(tmp_path, values, points, cases=[f"case{i}" for i in range(100)])
    began = time.perf_counter()
    sweep.write(tmp_path)
    assert time.perf_counter() - began < 20


def test_points_evaluated_on_other_data_are_not_compared(tmp_path):
    write_all(tmp_path)
    paths = [folder_of(tmp_path, point) / "metrics_validation.json" for point in POINTS]
    for path, digest in zip(paths, "aaaa-b", strict=True):  # one is of the time before digests
        content = json.loads(path.read_text())
        if digest != "-":
            path.write_text(json.dumps(content | {"data_digest": digest * 64}))
    with pytest.raises(UserError, match=f"{paths[5].parent}: was evaluated on other data"):
        sweep.write(tmp_path)
    paths[5].write_text(paths[0].read_text())
    sweep.write(tmp_path)
