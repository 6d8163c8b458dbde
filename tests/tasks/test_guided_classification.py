"""Guided classification: records, bound arrays, what is measured of maps, operating points."""

from types import SimpleNamespace

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.data.field_of_view import bounds
from segjax.data.regions import REGIONS, region_map
from segjax.errors import UserError
from segjax.tasks.guided_classification import GuidedClassification
from segjax.tasks.guided_classification.shuffling import shuffled

pytestmark = pytest.mark.usefixtures("command_settings")


def marked(*names):
    return np.array([name in names for name in REGIONS], np.uint8)


def example(height=90, width=120, label=1, names=("macula",), **changes):
    """A photograph whose field of view is a bright rectangle, 10 pixels from each border."""
    image = np.zeros((height, width, 3), np.uint8)
    image[10:-10, 10:-10] = 150
    fields = {
        "image": image,
        "image_id": b"eye",
        "disc": np.array([30.0, 45.0], np.float32),
        "fovea": np.array([60.0, 47.0], np.float32),
        "drusen_label": label,
        "drusen_regions": marked(*names),
    }
    return fields | changes


def test_a_record_is_the_field_of_view_with_the_regions_where_they_are():
    task = GuidedClassification(finding="drusen")
    stored = example()
    record = task.record(stored, (64, 64))
    assert record["image"].shape == (64, 64, 3) and record["image"].min() == 150
    assert record["label"] == 1 and record["region"].dtype == bool
    # The region at the photograph's size, cut and stretched as the photograph is
    whole = region_map(stored["disc"], stored["fovea"], 90, 120) == REGIONS.index("macula")
    cut = whole[10:-10, 10:-10].astype(np.float32)
    wanted = cv2.resize(cut, (64, 64), interpolation=cv2.INTER_AREA) >= 0.5
    assert np.mean(wanted != record["region"]) < 0.02
    assert wanted.any()


def test_without_cropping_the_whole_photograph_is_seen():
    record = GuidedClassification(finding="drusen", crop=False).record(example(), (64, 64))
    assert record["image"].min() == 0


def test_a_photograph_without_annotation_has_no_label_and_no_region():
    task = GuidedClassification(finding="drusen")
    record = task.record({"image": example()["image"]}, (32, 32))
    assert record["label"] == -1 and not record["region"].any()


def test_photographs_without_the_finding_are_silenced_or_left_alone():
    outputs = {"logits": jnp.zeros((2, 1)), "activation_logits": jnp.zeros((2, 4, 4))}
    fields = {
        "label": jnp.array([1, 0]),
        "region": jnp.zeros((2, 8, 8), bool).at[0, :4].set(True),
    }
    silent = GuidedClassification(finding="drusen").bind(outputs, fields)["region"]
    np.testing.assert_array_equal(silent[0], [[1] * 4] * 2 + [[0] * 4] * 2)
    assert not silent[1].any()
    free = GuidedClassification(finding="drusen", negatives="free").bind(outputs, fields)["region"]
    np.testing.assert_array_equal(free[0], silent[0])
    assert free[1].all()


def test_a_network_without_a_map_is_bound_by_its_logits_alone():
    task, fields = GuidedClassification(), {"label": jnp.array([1]), "region": None}
    assert {*task.bind({"logits": jnp.zeros((1, 1))}, fields)} == {"logits", "labels"}
    with pytest.raises(ValueError, match="takes 1"):
        task.bind({"logits": jnp.zeros((1, 2))}, fields)


def test_cells_that_do_not_lie_where_the_network_has_them_are_refused():
    outputs = {"logits": jnp.zeros((1, 1)), "activation_logits": jnp.zeros((1, 13, 12))}
    fields = {"label": jnp.array([1]), "region": jnp.zeros((1, 100, 96), bool)}
    message = "100 pixels do not divide into the 13 cells of the activation map; takes a multiple"
    with pytest.raises(ValueError, match=f"{message} of 8"):
        GuidedClassification().bind(outputs, fields)


def test_shuffled_regions_are_as_many_and_the_same_in_each_epoch():
    regions = marked("macula", "temporal")
    draws = {tuple(shuffled(regions, f"eye {k}")) for k in range(50)}
    assert len(draws) > 10 and {sum(draw) for draw in draws} == {2}
    np.testing.assert_array_equal(shuffled(regions, "a"), shuffled(regions, "a"))


def test_a_loss_takes_shuffled_regions_and_metrics_the_annotated_ones():
    task = GuidedClassification(finding="drusen", shuffle_regions=True)
    others = [task.record(example(image_id=f"eye {k}".encode()), (64, 64)) for k in range(8)]
    plain = GuidedClassification(finding="drusen").record(example(), (64, 64))
    assert all((record["region"] == plain["region"]).all() for record in others)
    assert not all((record["guide"] == plain["region"]).all() for record in others)
    # `predict` has no name to draw by
    assert not task.record({"image": example()["image"]}, (16, 16))["guide"].any()
    outputs = {"logits": jnp.zeros((1, 1)), "activation_logits": jnp.zeros((1, 2, 2))}
    fields = {
        "label": jnp.array([1]),
        "region": jnp.zeros((1, 4, 4), bool),
        "guide": jnp.ones((1, 4, 4), bool),
    }
    assert task.bind(outputs, fields)["region"].all()


def test_regions_move_with_the_photograph():
    task = GuidedClassification(finding="drusen")
    record = task.record(example(names=("superior_temporal",)), (32, 32))
    fields = {name: jnp.asarray(value)[None] for name, value in record.items()}
    keys = jax.random.split(jax.random.key(0), 1)
    flipped = task.augmented(keys, fields, {"flip_horizontal": 1.0})
    np.testing.assert_array_equal(flipped["region"][0], record["region"][:, ::-1])
    assert task.augmented(keys, fields, {}).keys() == fields.keys()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"negatives": "none"}, "negatives"),
        ({"tolerance": 2.0}, "tolerance"),
        ({"crop": "yes"}, "crop"),
        ({"finding": ""}, "finding"),
    ],
)
def test_options_that_are_none(options, message):
    with pytest.raises(UserError, match=rf"config\.task_options\.{message}="):
        GuidedClassification(**options)


def test_a_finding_that_the_set_does_not_have_is_named_with_the_nearest():
    task = GuidedClassification(finding="drusens")
    features = dict.fromkeys(("image", "image_id", "drusen_label", "drusen_regions"))
    with pytest.raises(UserError, match="drusen'.*It has: drusen"):
        task.check_features(features, "set")


def test_the_field_of_view_of_awkward_photographs():
    assert bounds(np.zeros((20, 30, 3), np.uint8)) == (0, 20, 0, 30)
    assert bounds(np.zeros((1, 1, 3), np.uint8)) == (0, 1, 0, 1)
    assert bounds(np.full((20, 30, 3), 9, np.uint8)) == (0, 20, 0, 30)
    speck = np.zeros((200, 200, 3), np.uint8)
    speck[50:150, 20:180] = 200
    speck[3, 3] = 255  # a hot pixel in the surround
    assert bounds(speck) == (50, 150, 20, 180)
    noisy = speck // 2 + np.random.default_rng(0).integers(0, 6, speck.shape, np.uint8)
    assert bounds(noisy) == (50, 150, 20, 180)
    large = np.zeros((2048, 3000, 3), np.uint8)
    large[:, 400:2600] = 120
    top, bottom, left, right = bounds(large)
    assert (top, bottom) == (0, 2048) and abs(left - 400) <= 4 and abs(right - 2600) <= 4


class FakeData:
    """A set in memory: of each split the labels of one finding."""

    name = "eyes"

    def __init__(self, **splits):
        self.splits = splits

    def open(self, split, fields):
        rows = [example(label=label, image_id=name.encode()) for name, label in self._rows(split)]
        return [{field: row[field] for field in fields} for row in rows]

    def column(self, split, field):
        return [row[field] for row in self.open(split, (field,))]

    def names(self, split):
        return [name for name, _ in self._rows(split)]

    def _rows(self, split):
        return [(f"{split} {k}", label) for k, label in enumerate(self.splits[split])]


def experiment(**splits):
    config = SimpleNamespace(data=SimpleNamespace(image_size=(16, 16)))
    return SimpleNamespace(data=FakeData(**splits), config=config)


def test_photographs_without_a_label_are_left_out_everywhere():
    task, made = GuidedClassification(finding="drusen"), experiment(train=[-1, 1, 0, -1, 1])
    assert task.names(made, "train") == ["train 1", "train 2", "train 4"]
    assert [row["image_id"] for row in task.opened(made, "train")] == [
        b"train 1",
        b"train 2",
        b"train 4",
    ]
    records = task.records(made, "train")
    assert len(records) == 3 and [int(records[k]["label"]) for k in range(3)] == [1, 0, 1]
    assert task.kept(experiment(train=[0, 1]), "train") is None


@pytest.mark.parametrize(
    ("splits", "named"),
    [
        ({"train": [1, 1, -1], "validation": [0, 1]}, "'train' of eyes has only photographs with"),
        ({"train": [0, 1], "validation": [0, 0]}, "'validation' of eyes has only .* without"),
        ({"train": [-1], "validation": [0, 1]}, "'train' of eyes has no label"),
    ],
)
def test_a_split_of_one_class_is_refused_by_name(splits, named):
    task = GuidedClassification(finding="drusen")
    with pytest.raises(UserError, match=rf"config\.task_options\.finding='drusen': .*{named}"):
        task.check_place(experiment(**splits))
    task.check_place(experiment(train=[0, 1], validation=[1, 0, -1]))


def test_a_split_without_any_label_is_refused_where_it_is_read():
    with pytest.raises(UserError, match="no photograph of the split 'test'"):
        GuidedClassification(finding="drusen").names(experiment(test=[-1, -1]), "test")


def test_pictures_of_a_prediction_have_the_size_of_the_photograph(tmp_path):
    task, image = GuidedClassification(finding="drusen"), example()["image"]
    activation = np.zeros((2, 2), np.float32)
    activation[0, 1] = 1.0
    task.write_pictures(tmp_path, "eye", image, {}, {"activation": activation})
    map_ = cv2.imread(str(tmp_path / "activations" / "eye.png"), cv2.IMREAD_UNCHANGED)
    assert map_.shape == image.shape[:2] and map_.dtype == np.uint16
    # Not normalised, within the field of view, the corner that is active at its right end
    assert map_.max() == 65535 and map_[15, 105] == 65535 and map_[75, 15] == 0
    assert map_[:10].max() == map_[:, :10].max() == 0
    overlay = cv2.imread(str(tmp_path / "overlays" / "eye.png"))
    assert overlay.shape == image.shape and (overlay[75, 15] == 150).all()
    # What hardly is active is hardly seen, and does not look like a finding
    faint = {"activation": 1e-3 * activation}
    task.write_pictures(tmp_path, "faint", image, {}, faint)
    overlay = cv2.imread(str(tmp_path / "overlays" / "faint.png"))
    assert np.abs(overlay.astype(int) - image[..., ::-1]).max() <= 1
    # A network without a map has no pictures
    task.write_pictures(tmp_path / "none", "eye", image, {}, {"probability": 0.5})
    assert not (tmp_path / "none").exists()


def test_cells_that_are_sure_are_told_apart_by_their_logits():
    task = GuidedClassification(finding="drusen")
    logits = jnp.zeros((1, 2, 2)).at[0, 0, 0].set(30.0).at[0, 1, 1].set(40.0)
    found = task.predict({"logits": jnp.zeros((1, 1)), "activation_logits": logits})
    region = np.zeros((1, 8, 8), bool)
    region[0, 4:, 4:] = True
    assert found["activation"][0, 0, 0] == found["activation"][0, 1, 1] == 1
    rows = task.rows(jax.device_get(found), {"region": region, "label": np.array([1])})
    assert rows["pointing"] == [1.0]
