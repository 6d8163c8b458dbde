"""Plans: those that nnU-Net publishes, the rules one by one, and the file."""

import dataclasses
import itertools
import json
import math
import os
import types

import numpy as np
import pytest

from segjax.data.volumes import planning
from segjax.data.volumes.fingerprint import Fingerprint, Intensity
from segjax.data.volumes.plan import Plan, plan_2d, pool_v1, pool_v2, read_plan
from segjax.errors import UserError

INTENSITY = Intensity(2.0, 3.0, 1.5, 0.0, 9.0, 8.0, 1.0)
ENOUGH = 5000  # cases, so that 5 % of all voxels bind nothing


def fingerprint(
    sizes, spacings, classes=3, modalities=("MR",), cases=ENOUGH, reduction=1.0, name="fake"
):
    """The rows of sizes and spacings are repeated up to `cases`."""
    sizes, spacings = np.atleast_2d(sizes).tolist(), np.atleast_2d(spacings).tolist()
    return Fingerprint(
        dataset=name,
        cases=cases,
        classes=tuple("abcdefgh"[:classes]),
        modalities=modalities,
        sizes=tuple(tuple(row) for row, _ in zip(itertools.cycle(sizes), range(cases))),
        spacings=tuple(
            tuple(map(float, row)) for row, _ in zip(itertools.cycle(spacings), range(cases))
        ),
        reductions=(reduction,) * cases,
        intensities=(INTENSITY,) * len(modalities),
    )


BRATS = fingerprint((138, 169, 138), (1, 1, 1), 3, ("t2", "t1", "t1ce", "flair"), reduction=0.4)
KITS = fingerprint((200, 512, 512), (3, 0.78, 0.78), 2, ("CT",))
KITS_SMALL = fingerprint((200, 256, 256), (3, 1.56, 1.56), 2, ("CT",))
ACDC = fingerprint((9, 237, 208), (10, 1.56, 1.56), 3)
# Of the Medical Segmentation Decathlon (Isensee et al. 2021, supplement); 5 % of the voxels bind
# the hippocampus.
HEART = fingerprint((115, 320, 232), (1.37, 1.25, 1.25), 1, cases=20)
HIPPOCAMPUS = fingerprint((36, 50, 35), (1, 1, 1), 2, cases=260)


@pytest.mark.parametrize(
    "of, patch, pools, batch",
    [
        (BRATS, (192, 160), (5, 5), 107),
        (KITS, (512, 512), (7, 7), 12),
        (KITS_SMALL, (256, 256), (6, 6), 50),
        (ACDC, (256, 224), (6, 5), 57),
        (HEART, (320, 256), (6, 6), 40),
        (HIPPOCAMPUS, (56, 40), (3, 3), 366),
    ],
)
def test_v1_makes_the_published_plans(of, patch, pools, batch):
    plan = plan_2d(of, "v1")
    assert (plan.patch_size, plan.pools, plan.batch_size) == (patch, pools, batch)
    assert len(plan.strides) == len(plan.kernels) == len(plan.features) == max(pools) + 1
    assert plan.strides[0] == (1, 1) and set(plan.kernels) == {(3, 3)}


def parameters(plan, *, biases):
    """Of nnU-Net's plain U-Net; v1 has no biases in its upsampling and its heads."""
    classes, count = len(plan.classes) + 1, 0
    widths, strides, kernels = plan.features, plan.strides, plan.kernels

    def block(kernel, first, width):
        taps = math.prod(kernel)
        return taps * width * (first + width) + 2 * (width + 2 * width)

    for stage, width in enumerate(widths):
        before = widths[stage - 1] if stage else len(plan.modalities)
        count += block(kernels[stage], before, width)
    for stage, width in enumerate(widths[:-1]):
        below = widths[stage + 1]
        count += math.prod(strides[stage + 1]) * below * width + biases * width
        count += block(kernels[stage], 2 * width, width)
        count += width * classes + biases * classes
    return count


def square(size, classes, modalities=("MR",)):
    return fingerprint((20, size, size), (5, 1, 1), classes, modalities)


@pytest.mark.parametrize(
    "of, version, expected",
    [
        (square(256, 3), "v1", 29_968_992),
        (KITS_SMALL, "v1", 29_967_552),
        (BRATS, "v1", 18_672_576),
        (square(256, 3), "v2", 33_474_840),
        (KITS_SMALL, "v2", 33_473_330),
        (BRATS, "v2", 20_621_940),
        (square(16, 1), "v2", 467_396),
        (square(32, 1), "v2", 1_928_262),
        (square(64, 1), "v2", 7_766_344),
        (square(128, 1), "v2", 20_619_082),
        (square(256, 1), "v2", 33_471_820),
        (square(512, 1), "v2", 46_324_558),
    ],
)
def test_the_planned_networks_have_the_published_numbers_of_parameters(of, version, expected):
    assert parameters(plan_2d(of, version), biases=version == "v2") == expected


def test_widths_differ_between_the_versions():
    assert plan_2d(KITS, "v1").features == (32, 64, 128, 256, 480, 480, 480, 480)
    assert plan_2d(KITS, "v2").features == (32, 64, 128, 256, 512, 512, 512, 512)


def test_v2_leaves_the_last_axis_alone_unless_it_is_long():
    assert plan_2d(ACDC, "v2").pools == (5, 5)  # v1 halves the 8 pixels of the taller axis again
    assert plan_2d(ACDC, "v2").patch_size == (256, 224)


def test_pooling_of_anisotropic_slices():
    halved = ((1, 1), (2, 1), (2, 2), (2, 2), (2, 2))
    first = pool_v1((1.0, 2.5), (64, 64))
    assert first.strides == (*halved, (1, 2)) and first.patch == (64, 64)
    assert first.kernels == ((3, 1), *((3, 3),) * 5)
    second = pool_v2((1.0, 2.5), (64, 64))
    assert second.strides == halved and second.kernels == ((3, 1), *((3, 3),) * 4)
    assert pool_v2((2.5, 1.0), (64, 64)).kernels[0] == (1, 3)


def test_a_short_axis_holds_up_v1_but_not_v2():
    # Once the columns are too short their spacing stays the smallest, and v1 pools no further.
    assert pool_v1((1.0, 1.0), (512, 8)).strides == ((1, 1), (2, 2), (2, 1))
    assert pool_v2((1.0, 1.0), (512, 8)).strides == ((1, 1), (2, 2), *((2, 1),) * 5)


def test_patches_are_padded_to_what_the_strides_divide():
    for size in range(8, 90):
        topology = pool_v1((1.0, 1.0), (size, 41))
        assert topology.patch[0] % topology.multiple[0] == 0
        assert size <= topology.patch[0] < size + topology.multiple[0]


def activations(plan):
    """Outputs of every convolution, layer by layer."""
    height, width = plan.patch_size
    count, pixels = 0, []
    for stride, features in zip(plan.strides, plan.features, strict=True):
        height, width = height // stride[0], width // stride[1]
        pixels.append(height * width)
        count += 2 * features * height * width  # two convolutions on the way down
    for features, size in zip(plan.features[:-1], pixels[:-1], strict=True):
        count += features * size  # the upsampling
        count += 2 * features * size  # two convolutions on the way up
    return count + (len(plan.classes) + 1) * pixels[0]


@pytest.mark.parametrize("size", [(2000, 2000), (3000, 1200), (700, 5000)])
def test_v2_shrinks_patches_until_two_fit(size):
    plan = plan_2d(fingerprint((20, *size), (5, 1, 1)), "v2")
    used = activations(plan)
    assert used / 12 * 2 <= 85e6
    assert plan.batch_size == max(2, round(85e6 / used * 12))
    assert any(p < s for p, s in zip(plan.patch_size, size, strict=True))
    # One more step of both axes would no longer fit.
    steps = [2**pools for pools in plan.pools]
    grown = tuple(p + step for p, step in zip(plan.patch_size, steps, strict=True))
    assert activations(dataclasses.replace(plan, patch_size=grown)) / 12 * 2 > 85e6


def test_v2_passes_over_no_size_that_divides():
    # 2048 x 1280, 2048 x 1024, 1792 x 1024; then columns: 1024 - 256 = 768 is halved 7 times only,
    # so they go in steps of 128.
    plan = plan_2d(fingerprint((20, 2100, 1100), (5, 1, 1)), "v2")
    assert plan.patch_size == (1792, 896)


def test_v2_takes_the_whole_slice_where_two_fit():
    plan = plan_2d(fingerprint((20, 900, 900), (5, 1, 1)), "v2")
    assert plan.patch_size == (1024, 1024) and plan.batch_size == 3
    assert plan.batch_size == round(85e6 / activations(plan) * 12)


def test_the_batch_is_capped_at_a_twentieth_of_the_voxels_and_is_two_at_least():
    few = plan_2d(fingerprint((10, 64, 64), (5, 1, 1), cases=30))
    assert few.batch_size == round(0.05 * 30 * 10 * 64 * 64 / 64**2) == 15
    assert plan_2d(fingerprint((10, 64, 64), (5, 1, 1), cases=1)).batch_size == 2
    assert plan_2d(fingerprint((9, 4000, 4000), (5, 1, 1), cases=9)).batch_size == 2


def test_the_axis_of_largest_spacing_comes_first():
    plan = plan_2d(fingerprint((237, 9, 208), (1.5, 10, 1.25)))
    assert plan.transposition == (1, 0, 2)
    assert plan.spacing == (10, 1.5, 1.25) and plan.median_shape == (9, 237, 208)
    assert plan_2d(fingerprint((30, 40, 50), (1, 1, 1.0005))).transposition == (0, 1, 2)
    assert plan_2d(fingerprint((30, 40, 50), (0.5, 2, 2))).transposition == (1, 0, 2)


def test_the_grid_is_the_median_spacing_and_sizes_are_medians_on_it():
    of = fingerprint(
        [(10, 100, 100), (12, 200, 100), (8, 300, 300)],
        [(8, 1, 1), (10, 2, 2), (10, 1.5, 1.5)],
        cases=3,
    )
    plan = plan_2d(of)
    assert plan.spacing == (10, 1.5, 1.5)
    # Rows: 100/1.5 = 66.7, 400/1.5 = 266.7, 300; columns: 66.7, 133.3, 300; slices: 8, 12, 8.
    assert plan.median_shape == (8, 267, 133)


def test_v2_keeps_the_slices_of_a_coarse_axis():
    spacings = [(10, 1.5, 1.5)] * 3 + [(5, 1.5, 1.5)]
    of = fingerprint([(9, 237, 208)] * 4, spacings, cases=4)
    assert plan_2d(of, "v1").spacing == (10, 1.5, 1.5)
    assert plan_2d(of, "v2").spacing == pytest.approx(
        (np.percentile([10, 10, 10, 5], 10), 1.5, 1.5)
    )
    many = fingerprint([(90, 237, 208)] * 4, spacings, cases=4)  # not few slices
    assert plan_2d(many, "v2").spacing == (10, 1.5, 1.5)
    finest = fingerprint([(9, 237, 208)] * 4, [(10, 1.5, 1.5)] * 3 + [(0.1, 1.5, 1.5)] * 2, cases=5)
    assert plan_2d(finest, "v2").spacing[0] == pytest.approx(1.5 + 1e-5)


def test_normalization_follows_the_modality_and_the_crop():
    plan = plan_2d(fingerprint((9, 64, 64), (5, 1, 1), 1, ("T1", "ct"), reduction=0.7))
    assert plan.normalization == ("zscore", "CT") and plan.use_mask == (True, False)
    loose = plan_2d(fingerprint((9, 64, 64), (5, 1, 1), 1, ("T1",), reduction=0.75))
    assert loose.use_mask == (False,)
    assert plan.intensities == (INTENSITY, INTENSITY)


def test_an_unknown_version_is_refused():
    with pytest.raises(ValueError, match="'v3'"):
        plan_2d(ACDC, "v3")


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_plan_comes_back_from_its_file(version, tmp_path):
    plan = plan_2d(BRATS, version)
    path = tmp_path / "plan.json"
    path.write_text(plan.to_json())
    assert read_plan(path) == plan
    assert plan.fingerprint == BRATS.digest()
    assert '"patch_size": [192, 160],' in plan.to_json()


@pytest.mark.parametrize(
    "field, value, word",
    [
        ("version", "v9", "'v9'"),
        ("transposition", [0, 1, 1], "transposition"),
        ("kernels", [[3, 3]], "kernels"),
        ("features", [32], "features"),
        ("use_mask", [], "use_mask"),
        ("normalization", ["log"] * 4, "'log'"),
        ("batch_size", 0, "positive"),
        ("batch_size", 1.5, "batch_size"),
        ("patch_size", [190, 160], "multiples of [32, 32]"),
        ("spacing", [0, 1, 1], "positive"),
    ],
)
def test_an_edited_plan_is_checked(field, value, word, tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({**json.loads(plan_2d(BRATS).to_json()), field: value}))
    with pytest.raises(UserError) as error:
        read_plan(path)
    assert str(path) in str(error.value) and word in str(error.value)


def test_a_missing_or_damaged_plan_is_named(tmp_path):
    path = tmp_path / "plan.json"
    with pytest.raises(UserError, match="plan.json"):
        read_plan(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="plan.json"):
        read_plan(path)
    path.write_text(plan_2d(BRATS).to_json()[:-30])
    with pytest.raises(UserError, match="plan.json"):
        read_plan(path)


def test_a_description_says_what_and_why():
    text = planning.describe(plan_2d(BRATS), BRATS)
    for words in (
        "192 x 160 pixels: the median slice, in multiples of 32 x 32",
        "107 slices: what fits into memory",
        "t2, t1, t1ce, flair: z-score of each case within the object",
        "background, a, b, c",
        "down to 6 x 5 pixels",
        "1x1, 2x2, 2x2, 2x2, 2x2, 2x2",
    ):
        assert words in text
    assert "5% of all" in planning.describe(plan_2d(HIPPOCAMPUS), HIPPOCAMPUS)
    assert "clipped to 1 to 8, less 3, over 1.5" in planning.describe(plan_2d(KITS), KITS)
    large = fingerprint((20, 3000, 3000), (5, 1, 1))
    assert "fits into memory twice" in planning.describe(plan_2d(large, "v2"), large)
    assert max(map(len, text.splitlines())) <= 100


@pytest.fixture
def fake_set(monkeypatch):
    """A prepared set of two small volumes in place of the store."""
    rng = np.random.default_rng(0)
    examples = [
        {
            "image": rng.uniform(1, 2, (4, 40, 30, 1)).astype(np.float32),
            "labels": rng.integers(0, 2, (4, 40, 30)).astype(np.uint8),
            "spacing": np.float32([5, 1, 1]),
        }
        for _ in range(2)
    ]
    builder = types.SimpleNamespace(CLASSES=("A",), MODALITIES=("MR",), data_path=os.curdir)
    store = types.SimpleNamespace(
        ensure_prepared=lambda name, data_dir: builder,
        check_split=lambda made, split, path: len(examples),
        open_split=lambda made, split: examples,
    )
    monkeypatch.setattr(planning, "store", store)
    monkeypatch.setattr(planning, "digest", types.SimpleNamespace(of=lambda made: "0" * 64))
    return builder


def test_a_plan_is_written_beside_its_fingerprint(fake_set, tmp_path, capsys):
    path = planning.write_plan("fake/small", str(tmp_path), version="v2")
    assert path == tmp_path / "plans" / "fake-small-v2.json"
    plan = read_plan(path)
    found = planning.read_fingerprint(planning.fingerprint_path(path))
    assert plan == plan_2d(found, "v2") and found.dataset == "fake/small" and found.cases == 2
    assert (plan.data, plan.split) == (found.data, found.split) == ("0" * 64, "train")
    assert planning.write_plan("fake", str(tmp_path), tmp_path / "a" / "b.json").name == "b.json"
    assert len(list((tmp_path / "plans").iterdir())) == 2
    captured = capsys.readouterr()
    assert not captured.out and not captured.err


def test_a_plan_of_the_time_before_digests_is_read(fake_set, tmp_path):
    path = planning.write_plan("fake", str(tmp_path))
    kept = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in kept.items() if k not in ("data", "split")}))
    assert read_plan(path).data == "" and read_plan(path).dataset == "fake"


def test_planning_names_what_is_wrong(fake_set, tmp_path):
    with pytest.raises(UserError, match="v3"):
        planning.write_plan("fake", str(tmp_path), version="v3")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"):
        planning.write_plan("fake", str(tmp_path), tmp_path / "file" / "plan.json")
    with pytest.raises(UserError, match="nothing.json"):
        planning.read_fingerprint(tmp_path / "nothing.json")
    del fake_set.CLASSES
    with pytest.raises(UserError, match="fake: not a set of volumes"):
        planning.write_plan("fake", str(tmp_path))


def test_plan_is_hashable_and_frozen():
    plan = plan_2d(BRATS)
    assert hash(plan) == hash(plan_2d(BRATS))
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.batch_size = 3
    assert isinstance(plan, Plan)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_lie_along_the_coarse_axis_also_where_its_target_is_that_of_the_pixels(axis):
    """A tenth of the cases is finer than the pixels of a slice along the coarse axis."""
    thick, thin = [1.0, 1.0], [1.0, 1.0]
    thick.insert(axis, 5.0)
    thin.insert(axis, 0.9)
    size = [200, 200]
    size.insert(axis, 20)
    plan = plan_2d(fingerprint(size, [thick] * 8 + [thin] * 2), "v2")
    assert plan.transposition[0] == axis
    assert plan.spacing == pytest.approx((1.00001, 1, 1))
