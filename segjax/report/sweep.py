"""Writes the report of a sweep: report.md, report.csv, report.tex and figures/.

Where its trainings ask different things (`Task.question`), each has a report of its own below
reports/, and the sweep's has the table of each.
"""

import pathlib
import re
from collections.abc import Iterable, Mapping

from segjax import checks, files
from segjax.report import figures, formats, latex, results
from segjax.report.comparison import (
    Comparison,
    compare,
    failure_threshold,
    foremost,
    row_labels,
)
from segjax.report.convergence import convergence
from segjax.report.formats import file_of
from segjax.report.results import Sweep

# The distribution of fewer trainings says no more than their values
SEEDS = 5
LONGEST = 60  # letters of a folder's name


def write(
    workdir: pathlib.Path, *, against: str | None = None, failed_below: float | None = None
) -> pathlib.Path:
    """Writes the report of a sweep's folder; returns the path of report.md.

    Args:
        workdir: the folder that `segjax sweep` made.
        against: label of the row that the others are tested against; None takes the first. Where
            several things are asked, it stands for those that ask the same.
        failed_below: headline value of the best checkpoint below which a model failed to converge
            (above which, where lower is better); None takes three quarters of the best row's
            median.

    Raises: UserError before anything is written, as `results.read` and `comparison.compare` do.
    """
    checks.require_flag("--failed-below", failed_below, checks.none_or(checks.number()))
    read = results.read(workdir)
    every = [label for sweep in read.values() for label in row_labels(sweep)]
    compared = {asked: _compared(sweep, against, every) for asked, sweep in read.items()}
    if len(compared) == 1:
        return _write(workdir, *next(iter(compared.values())), failed_below)
    places = _folders(compared)
    for asked, (sweep, comparison) in compared.items():
        _write(workdir / places[asked], sweep, comparison, failed_below)
    return _write_overview(workdir, compared, places)


def _compared(sweep: Sweep, against: str | None, every: list[str]) -> tuple[Sweep, Comparison]:
    """The rows that are shown, and their comparison with one of them.

    With a row of its own, where `against` is one of another question.
    """
    own = None if against in every and against not in row_labels(sweep) else against
    shown = foremost(sweep, own)
    return shown, compare(shown, own, every)


def _write(
    folder: pathlib.Path, sweep: Sweep, comparison: Comparison, failed_below: float | None
) -> pathlib.Path:
    threshold = failure_threshold(sweep) if failed_below is None else failed_below
    drawn = {file_of(metric): figures.cases_figure(sweep, metric) for metric in sweep.metrics}
    if curves := figures.curves_figure(sweep):
        drawn[formats.CURVES] = curves
    if max(len(row.seeds) for row in sweep.rows) >= SEEDS:
        drawn[formats.CONVERGENCE] = figures.cdf_figure(sweep, threshold)
    # Pictures first, then the texts that name them
    for name, figure in drawn.items():
        files.write_figure(folder / name, figure)
    told = convergence(sweep, threshold, chosen=failed_below is not None)
    return _write_texts(
        folder,
        formats.csv_text([(sweep, comparison)]),
        latex.latex_text(sweep, comparison),
        formats.markdown_text(sweep, comparison, told, list(drawn), figures.curve_names(sweep)),
    )


def _write_overview(
    workdir: pathlib.Path,
    compared: Mapping[str, tuple[Sweep, Comparison]],
    folders: Mapping[str, str],
) -> pathlib.Path:
    """The tables of several questions below each other; their rows are compared within each."""
    places = {asked: f"{folder}/report.md" for asked, folder in folders.items()}
    tables = [latex.latex_text(*each) for each in compared.values()]
    each = list(compared.values())
    return _write_texts(
        workdir,
        formats.csv_text(each),
        "\n".join(tables),
        formats.overview_text(compared, places),
    )


def _write_texts(folder: pathlib.Path, table: str, tex: str, text: str) -> pathlib.Path:
    for name, content in (("report.csv", table), ("report.tex", tex), ("report.md", text)):
        files.write_text(folder / name, content)
    return folder / "report.md"


def _folders(asked: Iterable[str]) -> dict[str, str]:
    """Where the report of each question lies, below the sweep's folder; no two in one place."""
    found: dict[str, str] = {}
    for number, words in enumerate(asked, start=1):
        name = re.sub(r"[^\w.-]+", "_", words).strip(".")[:LONGEST]
        place = f"reports/{name}"
        taken = {other.casefold() for other in found.values()}
        found[words] = f"{place}_{number}" if not name or place.casefold() in taken else place
    return found
