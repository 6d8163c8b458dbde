"""The task's option `topology`: clDice and Betti errors of every image, inside what counts."""

import importlib.util

import numpy as np
import pytest

from segjax.errors import UserError
from segjax.tasks.metric import values_of
from segjax.tasks.segmentation import Segmentation

NAMES = ("cl_dice", "betti_error_0", "betti_error_1")


def lines(*rows, size=32, columns=slice(2, 30)):
    """A mask of horizontal lines, three pixels thick."""
    mask = np.zeros((size, size), np.uint8)
    for row in rows:
        mask[row - 1 : row + 2, columns] = 1
    return mask


def ring(size=32):
    mask = np.zeros((size, size), np.uint8)
    mask[6:26, 6:26], mask[9:23, 9:23] = 1, 0
    return mask


def batch(*pairs, **more):
    predicted, labels = (np.stack(masks) for masks in zip(*pairs, strict=True))
    return {"labels": predicted}, {"labels": labels, **more}


def table(task, predictions, fields):
    """The columns made on the host, and the metrics of topology."""
    columns = task.rows(predictions, fields)
    assert set(columns) <= set(task.columns)
    return columns, values_of(task.metrics, columns)


def test_figures_of_known_shapes():
    """Worked out by hand: lines one component each, a ring one hole."""
    broken = lines(8)
    broken[:, 14:17] = 0
    empty = np.zeros_like(broken)
    predictions, fields = batch(
        (lines(8), lines(8)),  # right
        (broken, lines(8)),  # one line in two pieces, each on the line
        (lines(8, 20), lines(8)),  # half of what is found is a line too many
        (lines(20), lines(8)),  # one line for another: the counts agree, the place does not
        (lines(8), ring()),
        (empty, ring()),
        (empty, empty),
    )
    columns, _ = table(Segmentation(targets="vessels", topology=True), predictions, fields)
    betti = [columns[f"betti_error_{d}_vessels"].tolist() for d in (0, 1)]
    assert betti == [[0, 1, 1, 0, 0, 1, 0], [0, 0, 0, 0, 1, 1, 0]]
    found = columns["cl_dice_vessels"]
    assert found[[0, 3, 5, 6]].tolist() == [1, 0, 0, 1]
    # All of the pieces lie on the line; of the line's skeleton, 26 or so pixels, three do not.
    sensitivity = 1 - 3 / np.arange(24, 29)
    assert (2 * sensitivity / (1 + sensitivity)).min() <= found[1] < 1
    assert found[2] == pytest.approx(2 / 3)  # precision 1/2, sensitivity 1


def test_pixels_outside_do_not_count():
    """A line that goes wrong outside the field of view is right."""
    where = np.zeros((1, 32, 32), bool)
    where[:, :, :16] = True
    spoilt = lines(8)
    spoilt[20:24, 20:28] = 1
    spoilt[:, 18:20] = 0
    predictions, fields = batch((spoilt, lines(8)))
    everywhere = Segmentation(targets="vessels", topology=True)
    assert table(everywhere, predictions, fields)[0]["betti_error_0_vessels"][0] == 2
    within = Segmentation(targets="vessels", within="field_of_view", topology=True)
    columns, _ = table(within, predictions, {**fields, "where": where})
    assert [columns[f"{name}_vessels"][0] for name in NAMES] == [1, 0, 0]
    # And what is wrong inside still counts.
    predictions, fields = batch((lines(8, 20), lines(8)))
    columns, _ = table(within, predictions, {**fields, "where": where})
    assert columns["betti_error_0_vessels"][0] == 1


def test_each_target_by_itself():
    """The second class is right, the first has a piece too many and no hole."""
    true, found = ring(), ring()
    found[9:23, 9:23] = 1
    found[0:3, 0:3] = 1
    for labels in (true, found):
        labels[29:32, 2:30] = 2
    task = Segmentation(targets=("a", "b"), topology=True)
    columns, means = table(task, *batch((found, true)))
    got = [[columns[f"{name}_{target}"][0] for name in NAMES[1:]] for target in "ab"]
    assert got == [[1, 1], [0, 0]] and columns["cl_dice_b"][0] == 1 > columns["cl_dice_a"][0]
    wanted = {name: (columns[f"{name}_a"][0] + columns[f"{name}_b"][0]) / 2 for name in NAMES}
    wanted |= {
        f"{name}/{target}": columns[f"{name}_{target}"][0] for name in NAMES for target in "ab"
    }
    assert means == pytest.approx(wanted)


def test_means_over_images_by_name():
    predictions, fields = batch((lines(8, 20), lines(8)), (lines(8), lines(8)), (lines(8), ring()))
    task = Segmentation(targets="vessels", topology=True)
    columns, means = table(task, predictions, fields)
    assert list(means) == list(NAMES) and all(type(value) is float for value in means.values())
    assert means["betti_error_0"] == means["betti_error_1"] == pytest.approx(1 / 3)
    assert means["cl_dice"] == pytest.approx(columns["cl_dice_vessels"].mean())


def test_other_columns_stay_as_without_it():
    predictions, fields = batch((lines(8, 20), lines(8)), (lines(8), ring()))
    plain, more = Segmentation(targets="vessels"), Segmentation(targets="vessels", topology=True)
    assert more.columns[-2:] == plain.columns[-2:] == ("mean_dice", "jaccard")
    assert [name for name in more.columns if name in plain.columns] == list(plain.columns)
    before, after = table(plain, predictions, fields)[0], table(more, predictions, fields)[0]
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values)
    assert set(after) - set(before) == {f"{name}_vessels" for name in NAMES}
    assert table(plain, predictions, fields)[1] == {}
    assert more.predicted == plain.predicted == ("area_vessels",)


def test_wrong_options_are_named(monkeypatch):
    with pytest.raises(UserError, match=r"config\.task_options\.topology='yes': takes True or"):
        Segmentation(topology="yes")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"topology=True: needs the extra `topology`"):
        Segmentation(topology=True)
    Segmentation()  # asks for nothing
