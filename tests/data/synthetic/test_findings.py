"""Synthetic photographs with eight findings: masks, labels and regions agree, at every size."""

import numpy as np
import pytest
from scipy import ndimage

from segjax.data.regions import REGIONS, marked, region_map
from segjax.data.sets.generated import SPLITS
from segjax.data.sets.synthetic_findings import SyntheticFindings
from segjax.data.sets.synthetic_fundus import SyntheticFundusConfig
from segjax.data.synthetic.finding_shapes import FINDINGS, PREVALENCE, sample_signs
from segjax.data.synthetic.findings import REFERENCE, generate_findings
from segjax.data.synthetic.fundus import generate_fundus
from segjax.data.synthetic.fundus_anatomy import grow_vessels, sample_anatomy, sample_camera
from segjax.data.synthetic.nerve_fibres import RAPHE, fibres, ribbons

SIZE = 128
FIELDS = [
    *("image", "image_id", "eye", "fovea", "disc", "field_of_view"),
    *FINDINGS,
    *(f"{name}_label" for name in FINDINGS),
    *(f"{name}_regions" for name in FINDINGS),
]


def labels(example) -> np.ndarray:
    return np.array([example[f"{name}_label"] for name in FINDINGS])


def regions(example) -> np.ndarray:
    """`[findings, regions]`."""
    return np.stack([example[f"{name}_regions"] for name in FINDINGS])


@pytest.fixture(scope="module")
def examples():
    return [generate_findings(seed, SIZE) for seed in range(60)]


def signs_of(seed):
    """Anatomy, camera and signs of an eye, without a picture of it."""
    anatomy = sample_anatomy(seed)
    camera = sample_camera(seed, anatomy)
    vessels = grow_vessels(seed, anatomy, camera).points()
    return anatomy, camera, sample_signs(seed, anatomy, camera, vessels)


@pytest.fixture(scope="module")
def signs():
    return [signs_of(seed) for seed in range(200)]


def labels_of(signs) -> np.ndarray:
    return np.array([len(signs.lesions[name].centres) > 0 for name in FINDINGS])


def away_from(point) -> np.ndarray:
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
        for name in ("field_of_view", *FINDINGS):
            assert example[name].shape == (SIZE, SIZE, 1) and example[name].dtype == np.uint8
            assert example[name].max() <= 1
        assert {example[f"{name}_label"].dtype for name in FINDINGS} == {np.dtype(np.int8)}
        assert regions(example).shape == (8, 8) and regions(example).dtype == np.uint8
    assert len({example["image_id"] for example in examples}) == len(examples)
    assert len(FINDINGS) == len(REGIONS) == 8


def test_an_image_is_a_function_of_its_seed_alone(examples):
    for seed in (41, 7, 7, 0):
        assert same(generate_findings(seed, SIZE), examples[seed])
    assert len({example["image"].tobytes() for example in examples}) == len(examples)


@pytest.mark.parametrize("seed", range(8))
def test_one_seed_is_one_eye_at_every_size(seed):
    large = generate_findings(seed, 192)
    for size in (32, 33, 64):
        small = generate_findings(seed, size)
        assert small["eye"] == large["eye"]
        for of in (labels, regions):
            np.testing.assert_array_equal(of(small), of(large))
        for name in ("fovea", "disc"):
            np.testing.assert_allclose(small[name] / size, large[name] / 192, rtol=1e-5)
        present = [bool(small[name].any()) for name in FINDINGS]
        assert present == labels(small).astype(bool).tolist()
    # Findings of some extent cover about as much at every size
    for name in ("macular_hole", "membrane", "rnfl_defect"):
        np.testing.assert_allclose(small[name].mean(), large[name].mean(), rtol=0.25)
    shrunk = large["image"].reshape(64, 3, 64, 3, 3).mean((1, 3))
    inside = ndimage.binary_erosion(small["field_of_view"][..., 0], iterations=3)
    assert np.abs(shrunk - small["image"])[inside].mean() < 10


def test_labels_agree_with_masks_and_regions(examples):
    for example in examples:
        present = [bool(example[name].any()) for name in FINDINGS]
        assert present == labels(example).astype(bool).tolist()
        assert present == regions(example).any(axis=1).tolist()
    count = np.sum([labels(example) for example in examples], 0)
    assert count.min() > 10 and count.max() < 50
    assert np.sum([regions(example) for example in examples], (0, 1)).min() > 5


@pytest.mark.parametrize("seed", [1, 5, 13, 20_000_009])
def test_regions_are_those_that_the_masks_mark(seed):
    example = generate_findings(seed, REFERENCE)
    disc, fovea = example["disc"], example["fovea"]
    where = region_map(disc, fovea, REFERENCE, REFERENCE)
    distance = float(np.hypot(*(fovea - disc)))
    for name, row in zip(FINDINGS, regions(example), strict=True):
        names = marked(example[name], where, distance=distance).names
        assert names == tuple(np.array(REGIONS)[row == 1])


def test_findings_lie_where_they_are_known_to(examples):
    for example in examples:
        disc, fovea = example["disc"], example["fovea"]
        unit = np.hypot(*(fovea - disc)) / 2.3  # about the diameter of the disc
        rows = dict(zip(FINDINGS, regions(example).astype(bool), strict=True))
        where = {name: set(np.array(REGIONS)[row]) for name, row in rows.items()}
        for name in ("macular_hole", "membrane"):
            assert not where[name] or "macula" in where[name]
        assert where["macular_hole"] <= {"macula"}
        if where["macular_hole"]:
            assert example["macular_hole"][int(fovea[1]), int(fovea[0]), 0]
            assert 0.4 * unit < 2 * np.sqrt(example["macular_hole"].sum() / np.pi) < unit
        if where["drusen"]:
            assert "macula" in where["drusen"]
        if where["rnfl_defect"]:
            assert not where["rnfl_defect"] & {"superior_nasal", "inferior_nasal"}
            upper = any("superior" in region for region in where["rnfl_defect"])
            lower = any("inferior" in region for region in where["rnfl_defect"])
            assert upper != lower
            # From the disc's margin
            near = away_from(disc)[example["rnfl_defect"][..., 0] == 1].min()
            assert 0.35 * unit < near < 0.8 * unit


def test_each_finding_is_as_frequent_as_it_says_whatever_the_others(signs):
    present = np.array([labels_of(found) for *_, found in signs])
    # Four deviations of 200 draws
    assert np.abs(present.mean(0) - PREVALENCE).max() < 0.14
    apart = np.corrcoef(present.T) - np.eye(8)
    assert np.abs(apart).max() < 4 / np.sqrt(len(signs))


def test_a_test_split_of_sixty_has_both_classes_of_each_finding(examples):
    # That these are the labels of the pictures
    for seed, example in enumerate(examples[:5]):
        np.testing.assert_array_equal(labels_of(signs_of(seed)[-1]), labels(example))
    seeds = SyntheticFundusConfig(name="small").seeds("test")
    found = sum(labels_of(signs_of(seed)[-1]).astype(int) for seed in seeds)
    assert len(seeds) == 60 and found.min() >= 15 and found.max() <= 45


def test_lesions_keep_off_the_border_and_the_disc(signs):
    for _, camera, found in signs:
        for name, lesions in found.lesions.items():
            if name not in ("membrane", "rnfl_defect"):
                assert camera.sees(lesions.centres, margin=0.05).all()
            if name not in ("cotton_wool_patch", "rnfl_defect"):
                assert (np.hypot(*lesions.centres.T) > 0.5).all()


def test_everything_lies_in_the_field_of_view(examples):
    for example in examples:
        outside = ~ndimage.binary_dilation(example["field_of_view"][..., 0], iterations=3)
        assert example["image"][outside].mean() < 12
        for name in FINDINGS:
            assert (example[name] <= example["field_of_view"]).all()


def test_the_disc_is_nasal(examples):
    # To the left of a left eye's fovea, to the right of a right eye's
    for example in examples:
        apart = example["fovea"] - example["disc"]
        assert (apart[0] > 0) == (example["eye"] == "left")
    assert {example["eye"] for example in examples} == {"left", "right"}


def test_findings_have_their_colours(examples):
    contrast = {name: [] for name in FINDINGS}
    for example in examples:
        image = example["image"].astype(float)
        plain = example["field_of_view"][..., 0] == 1
        for name in FINDINGS:
            plain &= example[name][..., 0] == 0
        # Beside the disc, which is brighter than any finding
        plain &= away_from(example["disc"]) > 0.25 * np.hypot(*(example["fovea"] - example["disc"]))
        for name in FINDINGS:
            mask = example[name][..., 0] == 1
            ring = ndimage.binary_dilation(mask, iterations=4) & plain
            if mask.any() and ring.any():
                contrast[name].append(image[mask].mean(0) - image[ring].mean(0))
    mean = {name: np.mean(values, 0) for name, values in contrast.items()}
    green = {name: values[1] for name, values in mean.items()}
    assert green["haemorrhage"] < -15 and green["microaneurysm"] < -8
    assert green["rnfl_defect"] < -5
    assert green["hard_exudate"] > 30 and green["cotton_wool_patch"] > 20
    assert green["drusen"] > 15 and green["membrane"] > 8
    # From yellow to white
    names = ("hard_exudate", "cotton_wool_patch", "membrane")
    yellow, pale, white = (mean[name][2] / mean[name][1] for name in names)
    assert yellow < 0.85 < pale < white


def test_a_hole_is_darker_than_its_cuff(examples):
    darker = []
    for example in examples:
        # Without a membrane over it
        if example["macular_hole_label"] and not example["membrane_label"]:
            green = example["image"][..., 1].astype(float)
            whole = example["macular_hole"][..., 0] == 1
            depth = ndimage.distance_transform_edt(whole)
            middle, rim = depth > 0.75 * depth.max(), whole & (depth < 0.3 * depth.max())
            darker.append(green[rim].mean() - green[middle].mean())
    assert len(darker) > 5 and min(darker) > 3


def test_the_eye_is_that_of_synthetic_fundus():
    for seed in range(3):
        findings, fundus = generate_findings(seed, 64), generate_fundus(seed, 64)
        for name in ("eye", "fovea", "disc", "field_of_view"):
            np.testing.assert_array_equal(findings[name], fundus[name])


@pytest.mark.parametrize("up", [True, False])
def test_nerve_fibres_leave_the_disc_and_bend_to_the_raphe(up):
    away = np.linspace(0.45, 3.2, 30)
    lines = fibres(np.array([30.0, 60.0, 100.0]), up, away, 2.3)
    np.testing.assert_allclose(np.hypot(*np.moveaxis(lines, -1, 0)), np.tile(away, (3, 1)))
    angles = np.rad2deg(np.arctan2((-1 if up else 1) * lines[..., 1], lines[..., 0]))
    np.testing.assert_allclose(angles[:, 0], [30, 60, 100])
    assert (np.diff(angles) <= 1e-9).all() and (angles > RAPHE - 1e-9).all()
    # Fibres do not cross
    assert (np.diff(angles, axis=0) > -1e-9).all()


def test_a_ribbon_is_as_wide_as_asked():
    line = np.stack([np.linspace(0, 1, 5), np.zeros(5)], -1)
    polygon = ribbons(line, np.full(5, 0.2))
    np.testing.assert_allclose(polygon[:5], line + (0, 0.1))
    np.testing.assert_allclose(polygon[5:], (line - (0, 0.1))[::-1])


def test_generator_errors():
    with pytest.raises(ValueError, match="`seed` takes a whole number of at least 0, got -1"):
        generate_findings(-1, 64)
    with pytest.raises(ValueError, match="`size` takes a whole number of at least 32, got 31"):
        generate_findings(0, 31)


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
    found = {config.name: config for config in SyntheticFindings.BUILDER_CONFIGS}
    assert list(found) == ["small", "256", "512"]
    sizes = {
        "small": (128, 240, 60, 60),
        "256": (256, 1000, 200, 200),
        "512": (512, 1000, 200, 200),
    }
    for name, config in found.items():
        assert (config.size, config.train, config.validation, config.test) == sizes[name]
    spelt = SyntheticFindings.config_named("96px_30_5_6")
    assert (spelt.size, spelt.train, spelt.validation, spelt.test) == (96, 30, 5, 6)


def test_builder_round_trip(tmp_path):
    config = SyntheticFundusConfig(name="tiny", size=48, train=3, validation=2, test=2)
    builder = SyntheticFindings(data_dir=tmp_path, config=config, file_format="array_record")
    builder.download_and_prepare()
    assert list(builder.info.features) == FIELDS
    names = builder.info.features["eye"].names
    seen = set()
    for split, count in (("train", 3), ("validation", 2), ("test", 2)):
        source = builder.as_data_source(split=split)
        assert len(source) == count
        expected = {f"findings_{seed:08d}": seed for seed in config.seeds(split)}
        for example in source:
            name = example["image_id"].decode()
            wanted = generate_findings(expected[name], 48)
            assert names[example["eye"]] == wanted["eye"]
            for field in set(FIELDS) - {"image_id", "eye"}:
                np.testing.assert_array_equal(example[field], wanted[field], err_msg=field)
            seen.add(name)
    assert len(seen) == 7
