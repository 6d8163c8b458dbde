"""Operating points, what they make of a table, the remarks on it, and the cases that are shown."""

import numpy as np
import pytest

from segjax.tasks.base import Evaluation
from segjax.tasks.guided_classification import GuidedClassification, metrics, pictures
from segjax.tasks.guided_classification.evaluation import AT_CUTS, judged
from segjax.tasks.guided_classification.thresholds import operating_point

pytestmark = pytest.mark.usefixtures("command_settings")


def test_the_operating_point_has_the_best_harmonic_mean():
    generator = np.random.default_rng(2)
    for _ in range(20):
        label = generator.integers(0, 2, 12)
        probability = generator.integers(0, 6, 12) / 5
        found = operating_point(probability, label)
        if label.all() or not label.any() or len(np.unique(probability)) == 1:
            assert found == 0.5
            continue

        def harmonic(cut, probability=probability, label=label):
            a = np.mean(probability[label == 1] >= cut)
            b = np.mean(probability[label == 0] < cut)
            return 2 * a * b / (a + b) if a + b else 0.0

        best = max(harmonic(cut) for cut in np.linspace(-0.05, 1.05, 12))
        assert harmonic(found) == pytest.approx(best)


def table(probability, label, air=None):
    count = len(label)
    columns = {"probability": np.array(probability), "label": np.array(label, float)}
    if air is not None:
        known = np.where(columns["label"] > 0, np.array(air, float), np.nan)
        chance = np.where(columns["label"] > 0, 0.25, np.nan)
        columns |= {"air": known, "air_chance": chance, "pointing_chance": 2 * chance}
        columns |= {
            name: np.where(columns["label"] > 0, k / 100, np.nan) for k, name in enumerate(AT_CUTS)
        }
    return Evaluation(columns, [str(k) for k in range(count)], {"loss": 1.0}, {"label": label})


def test_the_validation_split_chooses_and_the_other_is_judged():
    choosing = table([0.1, 0.2, 0.6, 0.9], [0, 0, 1, 1], [0, 0, 0.5, 0.5])
    found = judged(table([0.3, 0.5, 0.39, 0.8], [0, 0, 1, 1], [0, 0, 0.4, 0.8]), choosing)
    assert found.columns["threshold"] == pytest.approx([0.4] * 4)
    np.testing.assert_array_equal(found.columns["sensitive"], [np.nan, np.nan, 0, 1])
    np.testing.assert_array_equal(found.columns["specific"], [1, 0, np.nan, np.nan])
    np.testing.assert_array_equal(found.columns["air_tp"], [np.nan, np.nan, np.nan, 0.8])
    np.testing.assert_array_equal(found.columns["air_fn"], [np.nan, np.nan, 0.4, np.nan])
    # The last cut has the highest mean here
    assert found.columns["cut"][0] == 0.95 and found.columns["iou"][3] == 0.18
    assert not {*AT_CUTS} & {*found.columns}
    for name, chance in (("air", 0.25), ("iou", 0.25), ("pointing", 0.5)):
        np.testing.assert_array_equal(found.baseline[name], [np.nan, np.nan, chance, chance])
    # Which of them are called positive is the model's doing: no baseline has true positives
    assert not {"air_tp", "air_fn"} & {*found.baseline}
    values = found.values(GuidedClassification())
    assert values["auroc"] == 0.75 and values["sensitivity"] == values["specificity"] == 0.5
    assert next(iter(values)) == "auroc"


def test_a_network_without_a_map_has_its_auroc_alone():
    found = judged(table([0.1, 0.9], [0, 1]), table([0.1, 0.9], [0, 1]))
    assert {*found.values(GuidedClassification())} == {
        "auroc",
        "sensitivity",
        "specificity",
        "loss",
    }


def test_remarks_give_delongs_interval_the_operating_point_and_the_chance_level():
    found = judged(*[table([0.1, 0.2, 0.6, 0.9], [0, 1, 0, 1], [0, 0.3, 0, 0.5])] * 2)
    text = "\n".join(metrics.remarks(found.columns))
    for part in (
        "2 of 4 photographs",
        "DeLong",
        "Operating point: a probability of 0.15,",
        "2 true positives, 0 false negatives",
        "AIR 0.250.",
        "cut at 0.95 of their maximum, the last one that is tried",
    ):
        assert part in text, text
    wide = {**found.columns, "air_chance": 3 * found.columns["air_chance"]}
    assert "AIR 0.750: the regions are so wide" in "\n".join(metrics.remarks(wide))
    alone = metrics.remarks({"probability": np.array([0.1, 0.2]), "label": np.array([0.0, 0.0])})
    assert alone[1] == "AUROC is not defined: the photographs are of one class."
    one = metrics.remarks(
        {"probability": np.array([0.1, 0.2, 0.3]), "label": np.array([0, 0, 1.0])}
    )
    assert one[1] == "AUROC has no interval: there is one photograph of a class."
    equal = {"probability": np.full(4, 0.5), "label": np.array([0, 1, 0, 1.0])}
    assert metrics.remarks(equal)[1].startswith("AUROC has no interval: DeLong's variance is 0")
    unknown = {"probability": np.array([np.nan, 0.2, 0.3]), "label": np.array([0, 1, 1.0])}
    assert metrics.remarks(unknown)[1] == "AUROC is not defined: a probability is no number."


def test_cases_worth_a_look_are_ranked_by_what_exceeds_chance_and_none_comes_twice():
    columns = {
        "probability": np.array([0.9, 0.8, 0.7, 0.1, 0.6, 0.2]),
        "label": np.array([1, 1, 1, 1, 0, 0.0]),
        "threshold": np.full(6, 0.5),
        "air": np.array([0.9, 0.8, 0.3, 0.95, np.nan, np.nan]),
        "air_chance": np.array([0.85, 0.2, 0.2, 0.9, np.nan, np.nan]),
    }
    chosen = pictures.chosen_cases(columns)
    assert list(chosen.values()) == [1, 2, 0, 3, 4]
    assert list(chosen)[0].startswith("found, highest") and list(chosen)[3] == "missed"
    only = {name: column[[0, 3, 5]] for name, column in columns.items()}
    assert list(pictures.chosen_cases(only).values()) == [0, 1]
