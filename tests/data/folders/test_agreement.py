"""How far the annotators of a table of findings agree."""

import numpy as np
import pytest

from segjax.data.folders import agreement, annotations
from segjax.stats import cohen_kappa
from tests.data.folders.settings import table
from tests.data.folders.test_annotations import HEADER, NAMES, VOTES, folder, rows_of, seen

__all__ = ["folder"]  # a fixture


def test_agreement_is_that_of_its_functions(folder):
    read = annotations.read(
        table(folder / "f.csv", HEADER, *rows_of(VOTES)), {name: folder for name in NAMES}
    )
    # Marks of ten images by three annotators: p = 15/30, P = (6 * 1 + 4 / 3) / 10
    share = (6 + 4 / 3) / 10
    assert agreement.fleiss(read, "hard_exudate") == pytest.approx((share - 0.5) / 0.5)
    assert agreement.same_regions(read.findings["hard_exudate"]) == (1.0, 3 * 3 + 2)


def test_numbers_of_annotators_that_vary_have_the_mean_of_cohens_kappa(folder):
    rows = [row for row in rows_of(VOTES) if row[:2] != ["p0", "Park"]]
    images = {name: folder for name in NAMES}
    read = annotations.read(table(folder / "f.csv", HEADER, *rows), images)
    assert agreement.fleiss(read, "hard_exudate") is None
    marked = [[votes > place for votes in VOTES] for place in range(3)]
    kim, lee, park = marked
    each = [cohen_kappa(kim, lee), cohen_kappa(kim[1:], park[1:]), cohen_kappa(lee[1:], park[1:])]
    assert agreement.cohen(read, "hard_exudate") == (pytest.approx(np.mean(each)), 3)
    text = agreement.kappa_text(read, "hard_exudate")
    assert text == f"Cohen's kappa, mean of 3 pairs of annotators, {np.mean(each):.2f}"
    # Each image of another annotator: nobody can be compared
    alone = [seen(n, n, *(("x", "macula") if n < "p3" else ())) for n in NAMES]
    read = annotations.read(table(folder / "g.csv", HEADER, *alone), images)
    assert agreement.kappa_text(read, "x") == "Cohen's kappa not defined"
