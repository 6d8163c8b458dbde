"""Segmentation by a network that is trained on patches of photographs, and judged on the whole."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.cli import main
from segjax.data.augment import augment_with_masks, cut_at_random, region_around
from segjax.data.images import read_image
from segjax.data.png import write_png
from segjax.inference.open import load_trained
from segjax.ops.tiling import predict_slices
from segjax.tasks.segmentation import Segmentation
from tests.train import runs

FULL, PATCH = (40, 48), (16, 24)
SETTINGS = {
    "data.name": runs.DATA,
    "data.image_size": PATCH,
    "task_options.full_size": FULL,
    "model.name": "tests.train.tiny:Normed",
    "model.features": "(4,)",
    "data.batch_size": 8,
    "evaluate.batch_size": 8,
    "train.steps": 4,
    "evaluate.every_steps": 2,
    "log.tensorboard": False,
}


def words(folder, data_dir, **more):
    config = str(runs.ROOT / "experiments" / "segmentation" / "demo.py")
    chosen = SETTINGS | {"data.data_dir": data_dir}
    chosen |= {key.replace("__", "."): value for key, value in more.items()}
    flags = [f"--config.{key}={value}" for key, value in chosen.items()]
    return ["train", "--config", config, "--workdir", str(folder), *flags]


def metrics(folder):
    return json.loads((folder / "metrics_validation.json").read_text())["metrics"]


@pytest.fixture(scope="module")
def run(tmp_path_factory, data_dir, command_settings):
    folder = tmp_path_factory.mktemp("patches") / "run"
    assert main(words(folder, data_dir)) == 0
    return folder


@pytest.fixture(scope="module")
def photograph():
    """Every pixel has a value of its own, in all fields."""
    values = np.arange(FULL[0] * FULL[1]).reshape(FULL)
    image = np.stack([values // 256, values % 256, values % 7], axis=-1).astype(np.uint8)
    inside = values % 5 > 0
    return {"image": image, "labels": (values % 3 == 0).astype(np.uint8), "where": inside}


def patches(photograph, count, strengths, within="field_of_view"):
    task = Segmentation(within=within, full_size=FULL, image_size=PATCH)
    fields = {name: np.stack([field] * count) for name, field in photograph.items()}
    keys = jax.random.split(jax.random.key(1), count)
    cut = jax.jit(lambda k, f: task.augmented(k, f, strengths))(keys, fields)
    return {name: np.asarray(field) for name, field in cut.items()}, keys


def test_patches_are_cut_out_of_all_fields_alike_and_everywhere(photograph):
    cut, _ = patches(photograph, 4000, {})
    assert cut["image"].shape == (4000, *PATCH, 3) and cut["labels"].shape == (4000, *PATCH)
    first = cut["image"][:, 0, 0].astype(int)
    rows, columns = np.divmod(first[:, 0] * 256 + first[:, 1], FULL[1])
    for index in range(0, 4000, 100):
        window = np.s_[rows[index] :, columns[index] :]
        for name, field in photograph.items():
            wanted = field[window][: PATCH[0], : PATCH[1]]
            np.testing.assert_array_equal(cut[name][index], wanted)
    # Every place, with equal probability: 25 x 25 of them, 6.4 patches each.
    counts = np.zeros((FULL[0] - PATCH[0] + 1, FULL[1] - PATCH[1] + 1))
    np.add.at(counts, (rows, columns), 1)
    chi_square = np.sum((counts - counts.mean()) ** 2) / counts.mean()
    assert abs(chi_square - counts.size) < 4 * np.sqrt(2 * counts.size)


def test_what_a_rotated_patch_shows_is_of_the_photograph(photograph):
    strengths = {"rotate": 40.0, "scale": 0.1}
    region = region_around(PATCH, FULL, strengths)
    # (16 cos 40° + 24 sin 40°) / 0.9 = 30.8, (24 cos 40° + 16 sin 40°) / 0.9 = 31.9
    assert region == (32, 32)
    white = dict(photograph, image=np.full((*FULL, 3), 255, np.uint8), where=np.ones(FULL, bool))
    cut, keys = patches(white, 64, strengths)
    assert cut["where"].all() and np.ptp(cut["image"]) < 0.01
    # The patch is the centre of the augmented region.
    fields = {name: photograph[name] for name in ("image", "labels")}
    cut = jax.jit(lambda key: cut_at_random(key, fields, PATCH, region))
    regions = np.stack([cut(key)["image"] for key in keys[:4]]).astype(np.float32) / 255
    nothing = np.zeros((*region, 0), np.float32)
    own, _ = patches({n: photograph[n] for n in fields}, 64, strengths, within=None)
    moved = jax.vmap(functools.partial(augment_with_masks, **strengths), (0, 0, None))
    wanted = np.asarray(jax.jit(moved)(keys[:4], regions, nothing)[0])[:, 8:24, 4:28]
    np.testing.assert_allclose(own["image"][:4] / 255, wanted, atol=2e-5)


@pytest.mark.parametrize(
    "strengths, region",
    [({}, PATCH), ({"flip_vertical": 0.5, "noise": 0.1}, PATCH), ({"scale": 0.5}, (32, 48)),
     ({"scale": 0.9}, FULL), ({"translate": 0.2}, PATCH)],
)  # fmt: skip
def test_regions(strengths, region):
    assert region_around(PATCH, FULL, strengths) == region


@pytest.mark.parametrize("strengths", [{}, {"rotate": 40.0, "scale": 0.3}])
def test_the_rim_is_trained_on_whatever_the_augmentation(photograph, strengths):
    """A patch of 16 x 24 has 25 x 25 places in 40 x 48, the same with a region around it."""
    rim = np.zeros(FULL, bool)
    rim[:4] = True
    marked = dict(photograph, where=rim)
    cut, _ = patches(marked, 3000, strengths)
    # Rows 0 to 3 are in 1, 2, 3 and 4 of the 25 rows of places.
    wanted = (1 + 2 + 3 + 4) / 25 / PATCH[0]
    assert cut["where"].mean() == pytest.approx(wanted, rel=0.35)


def test_without_a_full_size_nothing_is_cut_and_the_draws_are_as_before():
    task = Segmentation(image_size=PATCH)
    fields = {"image": np.zeros((2, *FULL, 3), np.uint8), "labels": np.zeros((2, *FULL), np.uint8)}
    got = task.augmented(jax.random.split(jax.random.key(0), 2), fields, {})
    assert got["image"] is fields["image"] and got["labels"] is fields["labels"]


@pytest.mark.usefixtures("command_settings")
def test_a_whole_photograph_is_predicted_by_blended_tiles(run, tmp_path):
    trained = load_trained(run, "latest")
    image = np.random.default_rng(0).integers(0, 256, (*FULL, 3)).astype(np.uint8)
    write_png(tmp_path / "eye.png", image)
    out = tmp_path / "out"
    assert main(["predict", "--workdir", str(run), "--input", str(tmp_path / "eye.png"),
                 "--checkpoint", "latest", "--output", str(out)]) == 0  # fmt: skip
    model, variables = trained.experiment.model, jax.device_get(trained.state.variables)
    logits = predict_slices(
        image[None].astype(np.float32) / 255,
        lambda tiles: model.apply(variables, jnp.asarray(tiles), train=False)["logits"],
        patch=PATCH,
        batch_size=4,
    )
    labels = read_image(out / "labels" / "eye.png")
    assert labels.shape == (*FULL, 3)
    sure = np.abs(logits[0, ..., 0]) > 1e-4
    np.testing.assert_array_equal(labels[..., 0][sure], logits[0, ..., 0][sure] > 0)
    assert sure.mean() > 0.99


@pytest.mark.usefixtures("command_settings")
def test_evaluation_is_of_whole_photographs_and_a_resumed_run_is_the_same(run, tmp_path, data_dir):
    split = metrics(run)
    trained = load_trained(run, "latest")
    assert trained.experiment.image_shape == (*PATCH, 3)
    source = trained.experiment.task.source(trained.experiment, "validation")
    assert source.arrays["labels"].shape == (10, *FULL)
    other = tmp_path / "other"
    assert main(words(other, data_dir, train__steps=2)) == 0
    assert main(words(other, data_dir)) == 2  # another length is another run
    again = tmp_path / "again"
    assert main(words(again, data_dir, parallel="pmap")) == 0
    for name, value in metrics(again).items():
        assert value == pytest.approx(split[name], rel=1e-3, abs=1e-4), name


@pytest.mark.usefixtures("command_settings")
def test_the_other_verbs_take_it(run, tmp_path, capsys):
    before = metrics(run)
    assert main(["evaluate", "--workdir", str(run), "--split", "validation"]) == 0
    assert metrics(run) == before
    assert main(["landscape", "parameters", "--workdir", str(run), "--output",
                 str(tmp_path / "lines.png"), "--points=3", "--examples=2",
                 "--eigenvalues=0"]) == 0  # fmt: skip
    assert main(["export", "--workdir", str(run), "--output", str(tmp_path / "out")]) == 0
