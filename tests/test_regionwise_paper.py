"""The paper's figures: shapes, spot checks, and what its section 4.1 says of each loss."""

import numpy as np
import pytest

from experiments.regionwise import paper

LOSSES = ["rrw", "weighted_cross_entropy", "dice", "focal", "boundary"]
TABLES = {
    2: (paper.TABLE2, paper.STARS2, paper.PERCENT2),
    3: (paper.TABLE3, paper.STARS3, paper.PERCENT3),
    4: (paper.TABLE4, paper.STARS4, paper.PERCENT4),
}


@pytest.mark.parametrize("number", TABLES)
def test_five_losses_over_two_columns_a_class(number):
    table, stars, percent = TABLES[number]
    columns = [f"{word}_{name}" for name in percent for word in ("dice", "hausdorff")]
    assert list(table) == LOSSES
    for row in table.values():
        assert list(row) == columns
        for column, (mean, deviation) in row.items():
            assert 0 < deviation and 0 < mean < (1 if column.startswith("dice") else 100)
    assert all(row in LOSSES[1:] and column in columns for row, column in stars)


def test_table5():
    assert list(paper.TABLE5) == ["rrw", "isensee", "baumgartner", "jang"]
    for row in paper.TABLE5.values():
        assert list(row) == [
            f"{word}_{name}/{phase}"
            for name in ("RV", "M", "LV")
            for word in ("dice", "hausdorff")
            for phase in ("ED", "ES")
        ]
    assert paper.TABLE5["rrw"]["hausdorff_M/ES"] == 11.8
    assert paper.TABLE5["isensee"]["dice_RV/ES"] == 0.90
    assert paper.TABLE5["jang"]["hausdorff_LV/ES"] == 7.1


def test_some_values():
    assert paper.TABLE2["rrw"]["hausdorff_RV"] == (14.58, 11.03)
    assert paper.TABLE3["boundary"]["hausdorff_ED"] == (29.35, 18.80)
    assert paper.TABLE4["focal"]["hausdorff_tumor"] == (41.37, 29.52)
    assert [len(stars) for _, stars, _ in TABLES.values()] == [7, 6, 9]
    assert paper.PERCENT3["NCR_NET"] == 0.16


def means(number, loss, word):
    row = TABLES[number][0][loss]
    return np.array([mean for column, (mean, _) in row.items() if column.startswith(word)])


def test_the_names_of_the_rows_fit_the_prose():
    dice = {loss: [means(n, loss, "dice") for n in TABLES] for loss in LOSSES}
    distance = {loss: [means(n, loss, "hausdorff") for n in TABLES] for loss in LOSSES}
    ours = distance["rrw"]
    # "our RRW maps produced the highest Dice coefficients and lowest HDs on ACDC17"
    assert max(LOSSES, key=lambda loss: dice[loss][0].mean()) == "rrw"
    assert min(LOSSES, key=lambda loss: distance[loss][0].mean()) == "rrw"
    # "Dice loss provided segmentations with worse HDs than the other loss functions"
    assert all(max(LOSSES, key=lambda loss: distance[loss][n].mean()) == "dice" for n in range(3))
    # weighted cross entropy: "overall, the lowest Dice coefficients"
    assert min(LOSSES, key=lambda loss: np.concatenate(dice[loss]).mean()) == LOSSES[1]
    # Focal loss: "similar or slightly worse"
    assert (dice["focal"][0] <= dice["rrw"][0]).all() and (distance["focal"][0] > ours[0]).all()
    # "Boundary loss also underperformed, except in the HDs of the myocardium class"
    assert list(distance["boundary"][0] > ours[0]) == [True, False, True]
    # "Focal and Boundary loss produced overall slightly better HDs" on BraTS18 and KiTS19
    for loss in ("focal", "boundary"):
        assert all(distance[loss][n].mean() < ours[n].mean() for n in (1, 2))
