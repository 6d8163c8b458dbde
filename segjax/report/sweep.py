"""Writes the report of a sweep: report.md, report.csv, report.tex and figures/."""

import pathlib

from segjax import checks, files
from segjax.report import figures, formats, latex, results
from segjax.report.comparison import compare, failure_threshold
from segjax.report.convergence import convergence
from segjax.report.formats import file_of

# The distribution of fewer trainings says no more than their values
SEEDS = 5


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

    Raises: UserError before anything is written, as `results.read` and `comparison.compare` do.
    """
    checks.require_flag("--failed-below", failed_below, checks.none_or(checks.number()))
    sweep = results.read(workdir)
    comparison = compare(sweep, against)
    threshold = failure_threshold(sweep) if failed_below is None else failed_below
    drawn = {file_of(metric): figures.cases_figure(sweep, metric) for metric in sweep.metrics}
    if curves := figures.curves_figure(sweep):
        drawn[formats.CURVES] = curves
    if max(len(row.seeds) for row in sweep.rows) >= SEEDS:
        drawn[formats.CONVERGENCE] = figures.cdf_figure(sweep, threshold)
    # Pictures first, then the texts that name them
    for name, figure in drawn.items():
        files.write_figure(workdir / name, figure)
    told = convergence(sweep, threshold, chosen=failed_below is not None)
    written = {
        "report.csv": formats.csv_text(sweep, comparison),
        "report.tex": latex.latex_text(sweep, comparison),
        "report.md": formats.markdown_text(
            sweep, comparison, told, list(drawn), figures.curve_names(sweep)
        ),
    }
    for name, content in written.items():
        files.write_text(workdir / name, content)
    return workdir / "report.md"
