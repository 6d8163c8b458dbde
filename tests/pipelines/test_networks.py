"""Which patches of which photograph are judged, with networks that give what a test wants."""

from types import SimpleNamespace

import numpy as np
import pytest

from segjax.data.patches.photographs import Recipe
from segjax.pipelines import networks
from segjax.tasks.lesions.network import enlarged
from tests.pipelines import commands, tiny

SIZE = (12, 18)


class Proposes:
    """Takes the place of PhotographNetwork: the red channel is the map."""

    def __init__(self, experiment, devices):
        pass

    def place(self, state):
        assert state == "state"

    def tiles(self, size):
        return 1

    def probabilities(self, image, progress=None):
        return image[..., 0].astype(np.float32) / 255


class Judges:
    """Takes the place of PatchScorer: keeps the centres, the green channel there is the value."""

    asked = []

    def __init__(self, experiment):
        pass

    def place(self, state):
        assert state == "state"

    def __call__(self, image, centre, progress=None):
        self.asked.append((image.shape, centre))
        return image[centre[:, 0], centre[:, 1], 1].astype(np.float32) / 255, None


@pytest.fixture
def opened(monkeypatch):
    """Networks of some rows; overrides go to the definition."""
    monkeypatch.setattr(networks, "PhotographNetwork", Proposes)
    monkeypatch.setattr(networks, "PatchScorer", Judges)
    monkeypatch.setattr(Judges, "asked", [])

    def open_(rows=tiny.ROWS, scales=None, **overrides):
        made = commands.Place(None, "data").definition(**overrides)
        scales = {"hgn": 1.0, "half": 1.0, "prn": 1.0} | (scales or {})
        trained = {}
        for name in made.stages:
            task = SimpleNamespace(recipe=Recipe(scale=scales[name], gain=0.0))
            experiment = SimpleNamespace(task=task)
            trained[name] = SimpleNamespace(experiment=experiment, devices=None, state="state")
        return made, networks.Networks(made, trained, [made.row(name) for name in rows])

    return open_


def photograph(seed=0, size=SIZE):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def test_refinements_are_0_where_the_proposal_is_not_above_the_threshold(opened):
    given = {"refine__strides": "(1,)", "refine__most_patches": "0", "refine__threshold": "0.4"}
    made, both = opened(**given)
    images = {"hgn": photograph(1), "half": photograph(2), "prn": photograph(3)}
    images["hgn"][0, :5, 0] = 101, 102, 103, 0, 255  # 102 / 255 is 0.4 itself
    maps = both.maps(images, SIZE)
    assert set(maps.by_name) == {"hgn", "half", "prn@hgn", "prn@half"}
    value = images["prn"][..., 1].astype(np.float32) / 255
    for proposal in ("hgn", "half"):
        levels = images[proposal][..., 0]
        np.testing.assert_array_equal(maps.by_name[proposal], levels.astype(np.float32) / 255)
        wanted = np.where(levels > 102, value, np.float32(0))
        np.testing.assert_array_equal(maps.by_name[f"prn@{proposal}"], wanted)
    # Both masks at once: a pixel of both is judged once
    (_, centres), *others = Judges.asked
    assert not others and len(centres) == len({tuple(c) for c in centres})
    inside = (images["hgn"][..., 0] > 102) | (images["half"][..., 0] > 102)
    assert maps.costs["prn"].candidates == maps.costs["prn"].patches == inside.sum()
    assert {tuple(c) for c in centres} == {tuple(p) for p in np.argwhere(inside)}
    fused = np.mean([maps.by_name[m] for m in made.row("PRN arithmetic").maps], axis=0)
    np.testing.assert_allclose(maps.row(made, "PRN arithmetic"), fused, rtol=1e-6)


def test_the_strongest_of_both_proposals_come_first(opened):
    _, both = opened(refine__strides="(1,)", refine__most_patches="20")
    images = {"hgn": photograph(1), "half": photograph(2), "prn": photograph(3)}
    cost = both.maps(images, SIZE).costs["prn"]
    strength = np.maximum(images["hgn"][..., 0], images["half"][..., 0])
    ((_, centres),) = Judges.asked
    left = np.ones(SIZE, bool)
    left[tuple(centres.T)] = False
    assert strength[~left].min() >= strength[left].max()
    assert (cost.patches, cost.left) == (20, np.count_nonzero(strength > 127) - 20)


@pytest.mark.parametrize("row", ["PRN", "PRN geometric"])
def test_the_map_of_a_row_is_the_same_whatever_rows_are_wanted(opened, row):
    """With strides and a bound a refinement depends on all its masks."""
    images = {"hgn": photograph(1), "half": photograph(2), "prn": photograph(3)}
    given = {"refine__strides": "(3, 1)", "refine__most_patches": "25"}
    made, every = opened(**given)
    _, alone = opened([row], **given)
    one, two = every.maps(images, SIZE), alone.maps(images, SIZE)
    np.testing.assert_array_equal(one.row(made, row), two.row(made, row))
    assert one.costs == two.costs


def test_a_row_without_refinement_asks_for_no_patch(opened):
    _, alone = opened(["HGN"])
    maps = alone.maps({"hgn": photograph()}, SIZE)
    assert set(maps.by_name) == {"hgn"} and maps.costs == {} and Judges.asked == []
    assert set(alone.prepared(photograph())) == {"hgn"}


def test_each_stage_sees_the_photograph_at_its_scale(opened):
    _, both = opened(scales={"half": 0.5, "prn": 0.5}, refine__strides="(1,)")
    image = photograph(4, (13, 19))
    images = both.prepared(image)
    assert {name: made.shape[:2] for name, made in images.items()} == {
        "hgn": (13, 19),
        "half": (6, 10),
        "prn": (6, 10),
    }
    maps = both.maps(images, (13, 19))
    half = images["half"][..., 0].astype(np.float32) / 255
    np.testing.assert_array_equal(maps.by_name["half"], enlarged(half, (13, 19)))
    ((shape, centres),) = Judges.asked
    # The pixel at the scale that holds the middle of the stored one
    inside = (maps.by_name["hgn"] > 0.5) | (maps.by_name["half"] > 0.5)
    chosen = np.argwhere(inside)
    wanted = np.minimum(((chosen + 0.5) * 0.5).astype(int), [5, 9])
    assert shape[:2] == (6, 10)
    assert {tuple(c) for c in centres} <= {tuple(c) for c in wanted}
    green = images["prn"][..., 1].astype(np.float32) / 255
    expected = np.zeros((13, 19), np.float32)
    expected[inside] = green[tuple(wanted.T)]
    for name in ("hgn", "half"):
        there = maps.by_name[name] > 0.5
        np.testing.assert_array_equal(maps.by_name[f"prn@{name}"], np.where(there, expected, 0))
