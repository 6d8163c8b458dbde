"""The cardiac phantom: determinism, anatomy, image against labels, and the TFDS builder."""

import time

import numpy as np
import pytest
from scipy import ndimage

from segjax.data import store
from segjax.data.sets.generated import SPLITS
from segjax.data.sets.synthetic_cardiac import (
    SyntheticCardiac,
    SyntheticCardiacConfig,
)
from segjax.data.synthetic.cardiac import generate_cardiac
from segjax.errors import UserError

SIZE = 64
FIELDS = ["image", "labels", "spacing", "affine", "image_id", "patient", "phase"]
PHASES = ("ED", "ES")
RIGHT, WALL, LEFT = 1, 2, 3


@pytest.fixture(scope="module")
def examples():
    return {(s, p): generate_cardiac(s, SIZE, p) for s in range(24) for p in PHASES}


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def millilitres(example, label) -> float:
    return (example["labels"] == label).sum() * np.prod(example["spacing"], dtype=float) / 1000


def test_fields_shapes_and_dtypes(examples):
    for (seed, phase), example in examples.items():
        assert list(example) == FIELDS
        image, labels = example["image"], example["labels"]
        assert image.dtype == np.float32 and labels.dtype == np.uint8
        assert image.shape == (*labels.shape, 1) and labels.shape[1:] == (SIZE, SIZE)
        assert 6 <= len(labels) <= 12 and set(np.unique(labels)) == {0, 1, 2, 3}
        assert np.isfinite(image).all() and (image >= 0).all()
        assert example["image_id"] == f"patient{seed:04d}_{phase}"
        assert (example["patient"], example["phase"]) == (f"patient{seed:04d}", phase)


def test_the_affine_has_the_spacing_reversed(examples):
    for example in examples.values():
        spacing, affine = example["spacing"], example["affine"]
        assert spacing.dtype == np.float32 and affine.dtype == np.float64
        assert spacing[0] >= 3 * spacing[1] and spacing[1] == spacing[2]
        np.testing.assert_allclose(np.diag(affine)[:3], spacing[::-1], rtol=1e-6)
        assert affine[3].tolist() == [0, 0, 0, 1]
        assert (affine[:3, :3] == np.diag(np.diag(affine)[:3])).all()
    assert len({example["affine"][0, 3] for example in examples.values()}) == 24


def test_a_volume_is_a_function_of_its_seed_size_and_phase(examples):
    for key in ((11, "ES"), (7, "ED"), (7, "ED"), (0, "ES")):
        assert same(generate_cardiac(key[0], SIZE, key[1]), examples[key])
    assert len({example["image"].tobytes() for example in examples.values()}) == len(examples)


@pytest.mark.parametrize("seed", range(4))
def test_one_seed_is_one_patient_at_every_size(seed):
    small, large = generate_cardiac(seed, SIZE, "ED"), generate_cardiac(seed, 2 * SIZE, "ED")
    np.testing.assert_allclose(small["spacing"], large["spacing"] * [1, 2, 2], rtol=1e-6)
    for label in (RIGHT, WALL, LEFT):
        assert millilitres(small, label) == pytest.approx(millilitres(large, label), rel=0.08)
    halved = large["image"][..., 0].reshape(-1, SIZE, 2, SIZE, 2).mean((2, 4))
    assert np.corrcoef(halved.ravel(), small["image"].ravel())[0, 1] > 0.97


def test_classes_are_rare_and_of_like_size(examples):
    shares = [[(e["labels"] == k).mean() for k in (1, 2, 3)] for e in examples.values()]
    mean = np.mean(shares, axis=0)
    assert ((mean > 0.01) & (mean < 0.018)).all()


def test_systole_empties_the_cavities_and_thickens_the_wall(examples):
    for seed in range(24):
        diastole, systole = (examples[seed, phase] for phase in PHASES)
        np.testing.assert_array_equal(diastole["affine"], systole["affine"])
        assert len(diastole["labels"]) == len(systole["labels"])
        assert millilitres(systole, LEFT) < 0.8 * millilitres(diastole, LEFT)
        assert millilitres(systole, RIGHT) < 0.95 * millilitres(diastole, RIGHT)
        assert 0.7 < millilitres(systole, WALL) / millilitres(diastole, WALL) < 1.2


def test_the_left_cavity_lies_within_the_wall(examples):
    """Where there is a cavity, the wall is closed around it: no other class touches it."""
    for key, example in examples.items():
        for plane in example["labels"]:
            around = ndimage.binary_dilation(plane == LEFT) & (plane != LEFT)
            assert set(np.unique(plane[around])) <= {WALL}, key


def test_the_right_ventricle_touches_the_wall_on_one_side(examples):
    for key, example in examples.items():
        labels = example["labels"]
        index = int((labels == RIGHT).sum((1, 2)).argmax())
        right, wall = labels[index] == RIGHT, labels[index] == WALL
        touching = ndimage.binary_dilation(right) & wall
        assert touching.sum() > 5, key
        place = np.argwhere(touching) - np.argwhere(wall | (labels[index] == LEFT)).mean(0)
        direction = place / np.linalg.norm(place, axis=1, keepdims=True)
        assert np.linalg.norm(direction.mean(0)) > 0.5, key  # 0 all around, 1 at a point
        assert ndimage.label(wall)[1] == 1, key
        pieces = np.bincount(ndimage.label(right, np.ones((3, 3)))[0].ravel())[1:]
        assert pieces.max() > 0.95 * pieces.sum(), key


def test_the_heart_tapers_and_ends_within_the_volume(examples):
    for key, example in examples.items():
        whole = (example["labels"] > 0).sum((1, 2))
        shown = np.flatnonzero(whole)
        assert 3 <= len(shown) == shown[-1] - shown[0] + 1, key  # no gap
        assert whole[shown[-1]] < 0.6 * whole.max(), key
        assert whole.argmax() <= shown[0] + len(shown) // 2, key


def test_cavities_are_bright_and_the_wall_is_dark(examples):
    higher = []
    for example in examples.values():
        image, labels = example["image"][..., 0], example["labels"]
        wall = np.median(image[labels == WALL])
        higher += [np.median(image[labels == k]) / wall for k in (RIGHT, LEFT)]
    assert min(higher) > 1.1 and np.median(higher) > 1.7


def test_brightness_alone_does_not_tell_the_structures(examples):
    """Most of what is as bright as the cavities, or as the wall, lies elsewhere."""
    for label in (WALL, LEFT):
        precise = []
        for example in examples.values():
            image, true = example["image"][..., 0], example["labels"] == label
            low, high = np.percentile(image[true], [10, 90])
            precise.append(true[(image >= low) & (image <= high)].mean())
        assert np.mean(precise) < 0.25


def test_patients_differ_in_place_turn_and_light(examples):
    centres, brightness = [], []
    for seed in range(24):
        example = examples[seed, "ED"]
        centres.append(np.argwhere(example["labels"] == LEFT).mean(0)[1:] / SIZE)
        brightness.append(np.median(example["image"][example["labels"] == LEFT]))
    assert (np.std(centres, axis=0) > 0.03).all()
    assert ((np.array(centres) > 0.25) & (np.array(centres) < 0.75)).all()
    assert max(brightness) > 2 * min(brightness)


def test_it_is_quick():
    times = []
    for seed in range(5):
        start = time.process_time()
        generate_cardiac(seed, 64)
        times.append(time.process_time() - start)
    assert min(times) < 0.25  # about 0.03 on an idle core


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 64), "`seed` takes a whole number of at least 0, got -1"),
        ((0, 16), "`size` takes a whole number of at least 32, got 16"),
        ((0, 64, "diastole"), "`phase` takes one of ED, ES, got 'diastole'"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        generate_cardiac(*arguments)


# --- The data set. ------------------------------------------------------------------------------


def test_seeds_of_splits_are_disjoint():
    largest = SyntheticCardiacConfig.most
    config = SyntheticCardiacConfig(name="x", train=largest, validation=largest, test=largest)
    seeds = [set(config.seeds(split)) for split in SPLITS]
    assert len(set.union(*seeds)) == 3 * largest
    small = SyntheticCardiacConfig(name="y")
    assert small.seeds("validation") == range(largest, largest + 8)


def test_configs_by_name(tmp_path):
    found = {config.name: config for config in SyntheticCardiac.BUILDER_CONFIGS}
    assert list(found) == ["small", "128"]
    assert (found["small"].size, found["small"].train, found["128"].size) == (64, 24, 128)
    made = store.builder("synthetic_cardiac/96px_20_5_6", str(tmp_path)).builder_config
    assert (made.size, made.train, made.validation, made.test) == (96, 20, 5, 6)
    assert SyntheticCardiac.config_named("tiny") is None
    for name, message in (
        ("16px_1_1_1", "`size`"),
        ("64px_1_0_1", "`validation` takes a whole number from 1 to"),
    ):
        with pytest.raises(UserError, match=f"synthetic_cardiac/{name}: {message}"):
            SyntheticCardiac.config_named(name)


def test_builder_round_trip(tmp_path):
    builder = store.builder("synthetic_cardiac/32px_2_1_1", str(tmp_path))
    assert store.prepare(builder)
    assert list(builder.info.features) == FIELDS
    assert builder.CLASSES == ("RV", "M", "LV") and builder.MODALITIES == ("MR",)
    seen = set()
    for split, count in (("train", 4), ("validation", 2), ("test", 2)):
        source = builder.as_data_source(split=split)
        assert len(source) == count
        for example in source:
            name, phase = example["image_id"].decode().split("_")
            seed = int(name.removeprefix("patient"))
            assert seed in builder.builder_config.seeds(split)
            wanted = generate_cardiac(seed, 32, phase)
            assert builder.info.features["phase"].names[example["phase"]] == phase
            for field in ("image", "labels", "spacing", "affine"):
                np.testing.assert_array_equal(example[field], wanted[field], err_msg=field)
                assert example[field].dtype == wanted[field].dtype
            seen.add(example["image_id"])
    assert len(seen) == 8
