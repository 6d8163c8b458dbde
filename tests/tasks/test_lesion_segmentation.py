"""Segmentation of lesions: options, patches, augmentation, what losses take."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.errors import UserError
from segjax.ops.tiling import shared_pixels
from segjax.tasks.lesion_segmentation import LesionSegmentation
from tests.tasks import lesions as shared

PATCH = (16, 24)


def made(**options):
    chosen = {"image_size": PATCH, "gain": 0.0, "healthy_centres": 500, "epoch_batches": 4}
    return LesionSegmentation(**(chosen | options))


def source_of(task, tmp_path, **changes):
    experiment = shared.experiment(task, tmp_path, **changes)
    return task.source(experiment)


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "option, value, word",
    [
        ("scale", 0.0, "above 0 and at most 1"),
        ("scale", 1.5, "above 0 and at most 1"),
        ("scale", float("nan"), "a finite number"),
        ("gain", -1.0, "at least 0"),
        ("sigma", 0.0, "above 0"),
        ("offset", 256.0, "from 0 to 255"),
        ("healthy_centres", 0, "at least 1"),
        ("epoch_batches", 0, "at least 1"),
        ("lesion_share", 0.0, "above 0 and below 1"),
        ("lesion_share", 1.0, "above 0 and below 1"),
        ("shift", 0.5, "at least 0 and below 0.5"),
        ("tile", -16, "at least 0"),
        ("tile_step", 0.0, "above 0 and at most 1"),
        ("tile_margin", -1, "at least 0"),
        ("hit", "overlapp", "did you mean 'overlap'?"),
    ],
)
def test_options_are_refused_by_their_path(option, value, word):
    with pytest.raises(UserError) as caught:
        made(**{option: value})
    assert str(caught.value).startswith(f"config.task_options.{option}={value!r}: takes ")
    assert word in str(caught.value)


@pytest.mark.parametrize("rule", ["grade", "=0", "grade=", "=", "0"])
def test_a_rule_of_the_healthy_is_a_field_and_its_value(rule):
    with pytest.raises(UserError, match=f"task_options.healthy='{rule}': takes FIELD=VALUE"):
        made(healthy=rule)


@pytest.mark.parametrize(
    "tile, step, most", [(64, 0.5, 16), (64, 0.75, 8), (60, 0.5, 15), (64, 1.0, 0), (0, 0.5, 4)]
)
def test_a_margin_is_refused_before_anything_is_predicted(tile, step, most):
    assert made(tile=tile, tile_step=step, tile_margin=most).tile_margin == most
    with pytest.raises(UserError, match=f"tile_margin={most + 1}: takes at most {most}, half of"):
        made(tile=tile, tile_step=step, tile_margin=most + 1)


def test_an_accepted_margin_is_one_that_tiles_take():
    from segjax.tasks.lesions.network import alignment

    for tile in (16, 40, 48, 96):
        multiple = alignment((tile, tile))
        assert multiple == (16 if tile % 16 == 0 else 1)
        most = shared_pixels(tile, 0.5, multiple=multiple) // 2
        assert made(tile=tile, tile_margin=most)


# --- patches --------------------------------------------------------------------------------------


@pytest.mark.parametrize("share, wanted", [(0.5, 4), (0.01, 1), (0.99, 7), (0.3, 2)])
def test_a_batch_has_patches_of_both_kinds(share, wanted, tmp_path):
    source = source_of(made(lesion_share=share, shift=0.49), tmp_path, resident="no")
    batches = source.train_batches(3, 0, 8, slice(None))
    for _ in range(30):
        batch = next(batches)
        assert batch["image"].shape == (8, *PATCH, 3)
        with_lesion = batch["labels"].any(axis=(1, 2))
        # A lesion pixel stays inside its patch, however far this is moved
        assert with_lesion[:wanted].all() and not with_lesion[wanted:].any()


def test_patches_lie_inside_their_photographs_and_lesions_anywhere_in_them(tmp_path):
    task = made(shift=0.3)
    source = source_of(task, tmp_path, resident="yes")
    places, centres = [], []
    for batch in (next(source.train_batches(0, step, 16, slice(None))) for step in range(60)):
        for index, centre in zip(batch["index"], batch["corner"], strict=True):
            size = shared.SPLIT[index]["image"].shape[:2]
            first = centre - np.array(PATCH) // 2
            assert np.all(first >= 0) and np.all(first + PATCH <= size)
            if index == 2:  # its lesion lies far from all borders
                places.append(np.array([25, 24]) - centre)
                centres.append(centre)
    # By up to 0.3 of the shorter side; a pixel more, for lesions are squares of nine
    assert np.abs(places).max() == 5 and len({tuple(c) for c in centres}) > 50


def test_an_epoch_is_a_number_of_batches(tmp_path):
    task = made(epoch_batches=7)
    assert task.epoch_examples(5, 8) == 56
    assert source_of(task, tmp_path, batch_size=8).examples == 56


# --- inside the step ------------------------------------------------------------------------------

MOVES = {"flip_horizontal": 0.5, "flip_vertical": 0.5, "rotate": 30.0, "scale": 0.2}


def test_augmentation_moves_a_lesion_with_its_bright_spot(tmp_path):
    given = shared.example(0, (90, 90), [(40, 52), (45, 40)])
    given["image"] = np.repeat(given["microaneurysms"] * np.uint8(255), 3, axis=-1)
    data = shared.Data(train=(given, shared.example(1, (90, 90))))
    task = made(image_size=(24, 24), shift=0.25)
    strengths = MOVES | {"transpose": 0.5, "translate": 0.1}
    experiment = shared.experiment(task, tmp_path, data=data, augment=strengths)
    source = task.source(experiment)
    region = task.region(strengths)
    assert region[0] > 24 and not (region[0] - 24) % 2
    batch = next(source.train_batches(0, 0, 8, slice(None)))
    fields = task.taken(*jax.tree.map(jnp.asarray, (source.arrays, batch)))
    assert fields["image"].shape == (8, *region, 3) and fields["labels"].shape == (8, *region)
    moved = jax.jit(lambda k, f: task.augmented(k, f, strengths))(
        jax.random.split(jax.random.key(3), 8), fields
    )
    still = task.augmented(None, fields, {})
    assert still["image"].dtype == jnp.uint8
    for found in (moved, still):
        assert found["image"].shape == (8, 24, 24, 3) and found["labels"].shape == (8, 24, 24)
        bright = np.asarray(task.inputs(found))[:4, ..., 0]
        labels = np.asarray(found["labels"])[:4]
        sure = np.abs(bright - 0.5) > 1e-3
        np.testing.assert_array_equal(labels[sure], bright[sure] > 0.5)
        assert labels.any(axis=(1, 2)).sum() >= 3
        assert not np.asarray(found["labels"])[4:].any()
    assert not np.array_equal(moved["labels"][:4], still["labels"][:4])


def test_intensities_change_the_image_alone(tmp_path):
    task = made()
    fields = {
        "image": jnp.asarray(np.random.default_rng(0).integers(60, 200, (3, *PATCH, 3), np.uint8)),
        "labels": jnp.asarray(np.random.default_rng(1).integers(0, 2, (3, *PATCH), np.uint8)),
    }
    keys = jax.random.split(jax.random.key(0), 3)
    found = task.augmented(keys, fields, {"brightness": 0.1})
    np.testing.assert_array_equal(found["labels"], fields["labels"])
    change = task.inputs(found) - task.inputs(fields)
    # One number a patch
    assert np.ptp(np.asarray(change), axis=(1, 2, 3)).max() < 1e-5
    assert np.abs(np.asarray(change)).max() > 0.01


def test_inputs_are_intensities_from_0_to_1():
    fields = {"image": jnp.asarray([[[[0, 51, 255]]]], jnp.uint8)}
    np.testing.assert_allclose(made().inputs(fields)[0, 0, 0], [0, 0.2, 1], rtol=1e-6)


def test_a_blank_batch_is_one_of_the_source(tmp_path):
    task = made()
    source = source_of(task, tmp_path, resident="no")
    batch = next(source.train_batches(0, 0, 4, slice(None)))
    for name, blank in task.blank(PATCH, 4).items():
        assert (batch[name].shape, batch[name].dtype) == (blank.shape, blank.dtype)


@pytest.mark.parametrize("classes", [1, 2])
def test_what_losses_and_readers_take(classes):
    task, generator = made(), np.random.default_rng(2)
    logits = generator.normal(0, 4, (2, 5, 6, classes)).astype(np.float32)
    labels = generator.integers(0, 2, (2, 5, 6)).astype(np.uint8)
    named = task.bind({"logits": jnp.asarray(logits)}, {"labels": jnp.asarray(labels)})
    assert set(named) == {*task.offers} and named["labels"].dtype == jnp.int32
    np.testing.assert_array_equal(named["labels"], labels)
    found = task.predict({"logits": jnp.asarray(logits, jnp.bfloat16)})["probability"]
    exact = np.asarray(jnp.asarray(logits, jnp.bfloat16), np.float64)
    if classes == 1:
        wanted = 1 / (1 + np.exp(-exact[..., 0]))
    else:
        wanted = np.exp(exact[..., 1]) / np.exp(exact).sum(axis=-1)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_a_network_of_three_outputs_is_refused():
    with pytest.raises(ValueError, match="3 outputs; lesion or not takes 1 or 2"):
        made().bind({"logits": jnp.zeros((1, 4, 4, 3))}, {"labels": jnp.zeros((1, 4, 4), int)})


def test_a_probe_is_the_first_patches_as_they_are(tmp_path):
    task = made()
    for resident in ("yes", "no"):
        experiment = shared.experiment(task, tmp_path, augment=MOVES, resident=resident)
        fields = task.probe(experiment, "train", 4)
        assert fields["image"].shape == (4, *PATCH, 3) and fields["image"].dtype == jnp.uint8
        assert np.asarray(fields["labels"]).any(axis=(1, 2)).tolist() == [True] * 2 + [False] * 2
        assert len(task.probe(experiment, "train", 1)["image"]) == 1
