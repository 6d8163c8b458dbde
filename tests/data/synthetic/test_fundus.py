"""The synthetic eye: determinism, anatomy, agreement of masks with labels, and the TFDS builder."""

import numpy as np
import pytest
from scipy import ndimage

from segjax.data.sets.generated import SPLITS
from segjax.data.sets.synthetic_fundus import SyntheticFundus, SyntheticFundusConfig
from segjax.data.synthetic.fundus import MASKS, generate_fundus
from segjax.data.synthetic.fundus_lesions import KINDS, grade_of

SIZE = 96
FIELDS = ["image", "image_id", "eye", "fovea", "disc", *MASKS, "findings", "grade"]


@pytest.fixture(scope="module")
def examples():
    return [generate_fundus(seed, SIZE) for seed in range(60)]


def disc_diameter(example) -> float:
    """Of the circle with the disc's area: independent of how the generator measures it."""
    return 2 * np.sqrt(example["optic_disc"].sum() / np.pi)


def centroid(mask) -> np.ndarray:
    y, x = np.nonzero(mask[..., 0])
    return np.array([x.mean() + 0.5, y.mean() + 0.5])


def distances(point) -> np.ndarray:
    line = np.arange(SIZE) + 0.5
    return np.hypot(line[None, :] - point[0], line[:, None] - point[1])


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_fields_shapes_and_dtypes(examples):
    for example in examples:
        assert list(example) == FIELDS
        assert example["image"].shape == (SIZE, SIZE, 3) and example["image"].dtype == np.uint8
        for name in ("fovea", "disc"):
            assert example[name].shape == (2,) and example[name].dtype == np.float32
            assert (example[name] > 0).all() and (example[name] < SIZE).all()
        for name in MASKS:
            assert example[name].shape == (SIZE, SIZE, 1) and example[name].dtype == np.uint8
            assert example[name].max() <= 1
        assert example["findings"].shape == (4,) and example["findings"].dtype == np.uint8
    assert len({example["image_id"] for example in examples}) == len(examples)


def test_an_image_is_a_function_of_its_seed_alone(examples):
    # Drawn alone and in another order, the pictures are those of the series, bit for bit.
    for seed in (41, 7, 7, 0):
        assert same(generate_fundus(seed, SIZE), examples[seed])
    pictures = {example["image"].tobytes() for example in examples}
    assert len(pictures) == len(examples)


@pytest.mark.parametrize("seed", range(6))
def test_one_seed_is_one_eye_at_every_size(seed):
    small, large = generate_fundus(seed, 64), generate_fundus(seed, 192)
    for name in ("fovea", "disc"):
        np.testing.assert_allclose(small[name] * 3, large[name], rtol=1e-5)
    assert (small["eye"], small["grade"]) == (large["eye"], large["grade"])
    np.testing.assert_array_equal(small["findings"], large["findings"])
    for name in ("field_of_view", "optic_disc"):
        np.testing.assert_allclose(small[name].mean(), large[name].mean(), rtol=0.06)
    shrunk = large["image"].reshape(64, 3, 64, 3, 3).mean((1, 3))
    inside = ndimage.binary_erosion(small["field_of_view"][..., 0], iterations=3)
    assert np.abs(shrunk - small["image"])[inside].mean() < 10


def test_fovea_is_in_view_and_darker_than_its_ring(examples):
    contrasts = []
    for example in examples:
        x, y = example["fovea"]
        assert example["field_of_view"][int(y), int(x), 0]
        away = distances(example["fovea"]) / disc_diameter(example)
        healthy = example["vessels"][..., 0] == 0
        for kind in KINDS:
            healthy &= example[kind][..., 0] == 0
        healthy &= example["field_of_view"][..., 0] == 1
        green = example["image"][..., 1].astype(float)
        ring = healthy & (away > 0.9) & (away < 1.3)
        contrasts.append(green[healthy & (away < 0.25)].mean() - green[ring].mean())
    assert np.mean(contrasts) < -5
    assert np.mean(np.array(contrasts) < 0) > 0.9
    assert np.ptp(contrasts) > 10  # neither all obvious nor all faint


def test_disc_is_brighter_than_its_ring(examples):
    gains = []
    for example in examples:
        away = distances(example["disc"]) / disc_diameter(example)
        free = (example["vessels"][..., 0] == 0) & (example["field_of_view"][..., 0] == 1)
        green = example["image"][..., 1].astype(float)
        disc = (example["optic_disc"][..., 0] == 1) & free
        gains.append(green[disc].mean() - green[free & (away > 0.8) & (away < 1.2)].mean())
    assert min(gains) > 5


def test_anatomy(examples):
    for example in examples:
        apart = example["fovea"] - example["disc"]
        assert 1.9 < np.hypot(*apart) / disc_diameter(example) < 2.8
        # The disc is nasal: to the left of a left eye's fovea, to the right of a right eye's.
        assert (apart[0] > 0) == (example["eye"] == "left")
        # One of its rows at most is lost to rounding and none to the field's border.
        assert np.hypot(*(centroid(example["optic_disc"]) - example["disc"])) < 0.35
        assert (example["optic_cup"] <= example["optic_disc"]).all()
        assert 0 < example["optic_cup"].sum() < example["optic_disc"].sum()
        away = distances(example["fovea"]) / disc_diameter(example)
        assert not example["vessels"][..., 0][away < 0.2].any()
        assert 0.02 < example["vessels"].sum() / example["field_of_view"].sum() < 0.3
    below = [(example["fovea"] - example["disc"])[1] > 0 for example in examples]
    assert np.mean(below) > 0.85
    assert {example["eye"] for example in examples} == {"left", "right"}


def test_vessels_are_one_tree_around_the_disc():
    for seed in range(20):
        example = generate_fundus(seed, 256)
        parts, _ = ndimage.label(example["vessels"][..., 0], np.ones((3, 3)))
        from_disc = np.unique(parts[example["optic_disc"][..., 0] == 1])
        rooted = np.isin(parts, from_disc[from_disc > 0]).sum()
        assert rooted > 0.75 * (parts > 0).sum()


def test_outside_the_field_is_dark_and_unlabelled(examples):
    for example in examples:
        outside = ~ndimage.binary_dilation(example["field_of_view"][..., 0], iterations=3)
        assert example["image"][outside].mean() < 12
        for name in MASKS:
            assert (example[name] <= example["field_of_view"]).all()


def test_masks_agree_with_findings_and_grade(examples):
    for example in examples:
        present = [bool(example[kind].any()) for kind in KINDS]
        assert present == example["findings"].astype(bool).tolist()
        if example["grade"] <= 1:
            assert present == [example["grade"] == 1, False, False, False]
        else:
            assert any(present[1:])
        for kind in KINDS:
            assert not (example[kind] & example["optic_disc"]).any()
    assert {example["grade"] for example in examples} == {0, 1, 2, 3}
    assert np.sum([example["findings"] for example in examples], 0).min() >= 4


def test_severe_eyes_show_many_haemorrhages():
    found = 0
    for seed in range(25):
        example = generate_fundus(seed, 256)
        _, parts = ndimage.label(example["haemorrhages"][..., 0])
        assert parts <= 9 or example["grade"] == 3
        if example["grade"] == 3:
            found += 1
            assert parts >= 8  # ten or more, of which a few may touch
    assert found


def test_lesions_have_their_colours(examples):
    contrast = {kind: [] for kind in KINDS}
    for example in examples:
        green = example["image"][..., 1].astype(float)
        plain = example["field_of_view"][..., 0] == 1
        for name in MASKS[1:]:
            plain &= example[name][..., 0] == 0
        for kind in KINDS:
            mask = example[kind][..., 0] == 1
            if mask.any():
                ring = ndimage.binary_dilation(mask, iterations=3) & plain
                contrast[kind].append(green[mask].mean() - green[ring].mean())
    means = {kind: np.mean(values) for kind, values in contrast.items()}
    assert means["haemorrhages"] < -15 and means["microaneurysms"] < -2
    assert means["hard_exudates"] > 15 and means["soft_exudates"] > 10


@pytest.mark.parametrize(
    ("counts", "grade"),
    [
        ((0, 0, 0, 0), 0),
        ((5, 0, 0, 0), 1),
        ((0, 1, 0, 0), 2),
        ((9, 9, 9, 9), 2),
        ((0, 10, 0, 0), 3),
    ],
)
def test_grade_of(counts, grade):
    assert grade_of(*counts) == grade


def test_generator_errors():
    with pytest.raises(ValueError, match="`seed` takes a whole number of at least 0, got -1"):
        generate_fundus(-1, 64)
    with pytest.raises(ValueError, match="`size` takes a whole number of at least 32, got 31"):
        generate_fundus(0, 31)


def test_config_errors_and_disjoint_splits():
    with pytest.raises(ValueError, match="`size` takes a whole number of at least 32, got 8"):
        SyntheticFundusConfig(name="x", size=8)
    with pytest.raises(ValueError, match="`test` takes a whole number from 1 to"):
        SyntheticFundusConfig(name="x", test=0)
    most = SyntheticFundusConfig(name="x", train=10_000_000)
    ranges = [most.seeds(split) for split in SPLITS]
    for one, next_one in zip(ranges, ranges[1:], strict=False):
        assert one.stop <= next_one.start


def test_ready_made_configs():
    found = {config.name: config for config in SyntheticFundus.BUILDER_CONFIGS}
    assert list(found) == ["small", "256", "512"]
    assert [found["small"].size, found["small"].train, found["small"].test] == [128, 240, 60]
    for size in (256, 512):
        config = found[str(size)]
        counts = (config.train, config.validation, config.test)
        assert (config.size, counts) == (size, (400, 100, 100))


def test_builder_round_trip(tmp_path):
    config = SyntheticFundusConfig(name="tiny", size=48, train=3, validation=2, test=2)
    builder = SyntheticFundus(data_dir=tmp_path, config=config, file_format="array_record")
    builder.download_and_prepare()
    assert list(builder.info.features) == FIELDS
    names = builder.info.features["eye"].names
    seen = set()
    for split, count in (("train", 3), ("validation", 2), ("test", 2)):
        source = builder.as_data_source(split=split)
        assert len(source) == count
        expected = {f"fundus_{seed:08d}": seed for seed in config.seeds(split)}
        for example in source:
            name = example["image_id"].decode()
            wanted = generate_fundus(expected[name], 48)
            assert names[example["eye"]] == wanted["eye"]
            for field in set(FIELDS) - {"image_id", "eye"}:
                np.testing.assert_array_equal(example[field], wanted[field], err_msg=field)
            seen.add(name)
    assert len(seen) == 7
