"""Writes the report of a sweep: report.md, report.csv, report.tex and figures/."""

import math
import pathlib

from segjax import files
from segjax.errors import UserError
from segjax.launch.report import cases, figures, formats, statistics, words
from segjax.launch.report.formats import file_of


def write(
    workdir: pathlib.Path, *, against: str | None = None, failed_below: float | None = None
) -> pathlib.Path:
    """Writes the report of a sweep's folder; returns the path of report.md.

    Args:
        workdir: the folder that `segjax sweep` made.
        against: label of the row that the others are tested against; None takes the first.
        failed_below: headline value of the best checkpoint below which a model failed to converge
            (above which, where lower is better); None takes three quarters of the best row's
            median.

    Raises: UserError before anything is written, as `cases.read` and `statistics.compare` do.
    """
    if failed_below is not None and not math.isfinite(failed_below):
        raise UserError(f"--failed-below {failed_below}: takes a finite number")
    sweep = cases.read(workdir)
    comparison = statistics.compare(sweep, against)
    threshold = statistics.failure_threshold(sweep) if failed_below is None else failed_below
    drawn = {file_of(metric): figures.cases_figure(sweep, metric) for metric in sweep.metrics}
    if curves := figures.curves_figure(sweep):
        drawn[formats.CURVES] = curves
    drawn[formats.CONVERGENCE] = figures.cdf_figure(sweep, threshold)
    for name, figure in drawn.items():
        files.write_figure(workdir / name, figure)
    convergence = words.convergence(sweep, threshold, chosen=failed_below is not None)
    texts = {
        "report.csv": formats.csv_text(sweep, comparison),
        "report.tex": formats.latex_text(sweep, comparison),
        "report.md": formats.markdown_text(sweep, comparison, convergence, list(drawn)),
    }
    for name, text in texts.items():
        files.write_text(workdir / name, text)
    return workdir / "report.md"
