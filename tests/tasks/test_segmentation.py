"""The task of segmentation: masks to labels, augmentation, metrics, tables and pictures."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from segjax import losses, maps
from segjax.config import lookup
from segjax.data.augment import augment, augment_with_masks
from segjax.data.resizing import resize_mask
from segjax.data.synthetic.fundus import generate_fundus
from segjax.errors import UserError
from segjax.recipes.loss_terms import segmentation_losses
from segjax.recipes.loss_terms import term as loss_term
from segjax.tasks import binding
from segjax.tasks.images import STORED
from segjax.tasks.metric import values_of
from segjax.tasks.segmentation import Segmentation
from tests.data.augment.test_photographs import EVERYTHING

pytestmark = pytest.mark.pictures
GEOMETRY = ("flip_horizontal", "flip_vertical", "rotate", "scale", "translate", "shear")

LESIONS = "microaneurysms+haemorrhages+hard_exudates+soft_exudates"


@pytest.fixture(scope="module")
def example():
    """An eye with lesions of several kinds."""
    return generate_fundus(seed=0, size=64)


def stack(records):
    return {name: np.stack([record[name] for record in records]) for name in records[0]}


def test_labels_are_the_masks_later_classes_over_earlier_ones(example):
    disc, cup = (example[name][..., 0] > 0 for name in ("optic_disc", "optic_cup"))
    assert (disc & cup).any() and (disc & ~cup).any()
    labels = Segmentation(targets=("optic_disc", "optic_cup")).record(example, (64, 64))["labels"]
    np.testing.assert_array_equal(labels, np.where(cup, 2, disc))
    covered = Segmentation(targets=("optic_cup", "optic_disc")).record(example, (64, 64))["labels"]
    np.testing.assert_array_equal(covered, np.where(disc, 2, cup))


def test_a_union_holds_every_kind(example):
    task = Segmentation(targets=LESIONS)
    wanted = np.logical_or.reduce([example[kind][..., 0] > 0 for kind in LESIONS.split("+")])
    assert wanted.any()
    np.testing.assert_array_equal(task.record(example, (64, 64))["labels"], wanted)
    assert task.fields == ("image", "image_id", *LESIONS.split("+"))


def test_masks_are_resized_by_cover_and_enlarged_by_the_nearest():
    mask = np.zeros((8, 8), bool)
    mask[:4, :3] = True
    half = resize_mask(mask, (4, 4))
    assert half.tolist() == [[True, True, False, False]] * 2 + [[False] * 4] * 2
    np.testing.assert_array_equal(resize_mask(mask, (16, 16)), mask.repeat(2, 0).repeat(2, 1))
    assert resize_mask(mask, (8, 8)) is mask


def test_image_and_labels_move_together():
    # The red channel is the mask: whatever the augmentation does, they must still agree.
    task = Segmentation(within="field_of_view")
    masks = np.zeros((16, 48, 64), bool)
    masks[:, 10:30, 20:34] = True
    image = np.repeat(masks[..., None], 3, -1).astype(np.uint8) * 255
    fields = {"image": image, "labels": masks.astype(np.uint8), "where": masks}
    strengths = {name: value for name, value in EVERYTHING.items() if name not in ("noise",)}
    keys = jax.random.split(jax.random.key(0), 16)
    run = jax.jit(lambda k, f: task.augmented(k, f, strengths))
    got = run(keys, fields)
    assert got["labels"].dtype == jnp.uint8 and got["where"].dtype == bool
    geometry = {name: strengths[name] for name in GEOMETRY}
    still = np.zeros((0, 2), np.float32)
    moved = jax.jit(jax.vmap(lambda k, i: augment(k, i, still, **geometry)[0]))(
        keys, image.astype(np.float32) / 255
    )
    np.testing.assert_array_equal(np.asarray(got["where"]), np.asarray(moved[..., 0]) >= 0.5)
    np.testing.assert_array_equal(np.asarray(got["labels"]), np.asarray(moved[..., 0]) > 0.5)
    assert len({int(labels.sum()) for labels in np.asarray(got["labels"])}) > 8


def test_masks_leave_the_image_and_its_draws_as_they_were():
    rng = np.random.default_rng(0)
    image, masks = rng.random((24, 32, 3)), rng.random((24, 32, 2))
    image, masks = image.astype(np.float32), masks.astype(np.float32)
    key = jax.random.key(4)
    still = np.zeros((0, 2), np.float32)
    alone, _ = jax.jit(lambda k, i: augment(k, i, still, **EVERYTHING))(key, image)
    together = jax.jit(lambda k, i, m: augment_with_masks(k, i, m, **EVERYTHING))
    changed, planes = together(key, image, masks)
    np.testing.assert_allclose(changed, alone, atol=1e-6)
    assert planes.shape == masks.shape and np.abs(planes - masks).max() > 0.1
    colours = {"brightness": 0.1, "noise": 0.1}
    np.testing.assert_array_equal(augment_with_masks(key, image, masks, **colours)[1], masks)


@pytest.mark.parametrize("outputs", [1, 2])
def test_prediction_of_one_structure(outputs):
    task = Segmentation()
    foreground = np.zeros((1, 4, 4), bool)
    foreground[0, 1, 2] = True
    score = np.where(foreground, 3.0, -2.0).astype(np.float32)[..., None]
    logits = score if outputs == 1 else np.concatenate([-score, score], -1)
    predicted = task.predict({"logits": jnp.asarray(logits)})["labels"]
    assert predicted.dtype == jnp.uint8
    np.testing.assert_array_equal(predicted, foreground)


def test_prediction_of_several_is_the_argmax():
    logits = np.random.default_rng(0).standard_normal((2, 6, 6, 3)).astype(np.float32)
    task = Segmentation(targets=("optic_disc", "optic_cup"))
    predicted = task.predict({"logits": jnp.asarray(logits)})["labels"]
    np.testing.assert_array_equal(predicted, logits.argmax(-1))


@pytest.mark.parametrize(
    "targets, outputs, takes",
    [(("optic_disc",), 3, "1 or 2"), (("optic_disc", "optic_cup"), 1, "3")],
)
def test_a_model_with_other_outputs_is_refused(targets, outputs, takes):
    task = Segmentation(targets=targets)
    fields = task.blank((8, 8), 2)
    logits = jax.ShapeDtypeStruct((2, 8, 8, outputs), jnp.float32)
    with pytest.raises(ValueError, match=f"{outputs} outputs.*takes {takes}"):
        jax.eval_shape(task.bind, {"logits": logits}, fields)


def cases(targets, within):
    """Random predictions and labels of three images, the last without any structure."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, len(targets) + 1, (3, 12, 12)).astype(np.uint8)
    predicted = np.where(rng.random(labels.shape) < 0.6, labels, 0).astype(np.uint8)
    labels[2] = predicted[2] = 0
    fields = {"image": np.zeros((3, 12, 12, 3), np.uint8), "labels": labels}
    if within:
        fields["where"] = np.broadcast_to(np.arange(12) < 8, labels.shape)
    return {"labels": predicted}, fields


@pytest.mark.parametrize("within", [None, "field_of_view"])
@pytest.mark.parametrize("targets", [("optic_disc",), ("optic_disc", "optic_cup")])
def test_metrics_and_table_agree(targets, within):
    task = Segmentation(targets=targets, within=within)
    predictions, fields = cases(targets, within)
    scores = task.scores(*jax.tree.map(jnp.asarray, (predictions, fields)))
    assert set(scores) == set(task.scored)
    columns = {**scores, **task.rows(predictions, fields)}
    # Of the photographs as they are stored, which are not at hand here
    columns |= {f"limit_{target}": np.ones(len(columns["mean_dice"])) for target in targets}
    rows = np.stack([np.asarray(columns[name]) for name in task.columns], axis=-1)
    metrics = values_of(task.metrics, columns)
    assert metrics["dice"] == pytest.approx(rows[:, -2].mean(), rel=1e-6)
    assert task.columns[-2] == "mean_dice" and rows[2, -2] == 1.0 and 0.3 < rows[0, -2] < 1
    for index, target in enumerate(targets):
        here = [fields["labels"][0] == index + 1, predictions["labels"][0] == index + 1]
        column = rows[0, 4 * index : 4 * index + 3]
        np.testing.assert_allclose(column[:2], [mask.mean() for mask in here])
        counted = [mask[:, :8] if within else mask for mask in here]
        both = (counted[0] & counted[1]).sum()
        assert column[2] == pytest.approx(2 * both / sum(mask.sum() for mask in counted))
        if len(targets) > 1:
            assert metrics[f"dice/{target}"] == pytest.approx(rows[:, 4 * index + 2].mean())
    assert task.headline in metrics


def test_a_picture_without_masks_has_a_record_and_known_columns(example):
    task = Segmentation(within="field_of_view")
    record = task.record({"image": example["image"]}, (32, 32))
    assert not record["labels"].any() and record["where"].all()
    assert task.predicted == ("area_optic_disc",)
    predictions, fields = cases(task.targets, None)
    areas = task.rows(predictions, fields)["area_optic_disc"]
    assert areas[0] == (predictions["labels"][0] > 0).mean()


def test_the_baseline_calls_every_pixel_structure():
    task = Segmentation()
    _, fields = cases(task.targets, None)
    scores = task.baseline_scores(task.baseline(lambda: None), fields)
    share = (fields["labels"] > 0).mean(axis=(1, 2))
    assert scores["mean_dice"] == pytest.approx(2 * share / (1 + share))
    assert scores["jaccard"] == pytest.approx(share)


def test_overlay_and_labels_have_the_size_of_the_picture(tmp_path):
    task = Segmentation(targets=("optic_disc", "optic_cup"))
    labels = np.zeros((16, 16), np.uint8)
    labels[4:12, 4:12], labels[7:9, 7:9] = 1, 2
    image = np.full((48, 64, 3), 90, np.uint8)
    task.write_pictures(tmp_path, "eye", image, {}, {"labels": labels})
    drawn = cv2.imread(str(tmp_path / "overlays" / "eye.png"))
    written = cv2.imread(str(tmp_path / "labels" / "eye.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(written, labels.repeat(3, 0).repeat(4, 1))
    changed = (drawn != 90).any(-1)
    assert changed[12, 16:48].all() and changed[21:27, 28].all()
    assert not changed[:11].any() and not changed[15:19, 20:26].any()


@pytest.mark.filterwarnings("error")
def test_figures_show_best_median_and_worst(example):
    task = Segmentation()
    record = {k: v[None] for k, v in task.record(example, (32, 32)).items()}
    logits = jnp.where(jnp.asarray(record["labels"])[..., None] > 0, 1.0, -1.0)
    opened = []

    def open_case(index):
        opened.append(int(index))
        stored = record | {STORED: example}
        return example["image"], stored, {"logits": logits if index else -jnp.ones_like(logits)}

    columns = {"mean_dice": np.array([0.1, 0.9, 0.5])}
    figures = task.case_figures(open_case, columns, ["a", "b", "c"])
    assert opened == [1, 2, 0]
    titles = [axes.get_title() for axes in figures["cases"].axes]
    ranked = zip(("best: b", "middle: c", "worst: a"), ("0.900", "0.500", "0.100"), strict=True)
    assert titles == [f"{case}, Dice optic_disc {dice}" for case, dice in ranked]
    assert "a middle and the lowest Dice optic_disc:" in figures["cases"].get_label()


@pytest.mark.parametrize(
    "options, names",
    [
        ({"targets": ()}, ["targets=()"]),
        ({"targets": ("optic_disc", 3)}, ["targets=('optic_disc', 3)"]),
        ({"targets": "a++b"}, ["'a++b'", "joined by +"]),
        ({"within": 5}, ["within=5"]),
    ],
)
def test_wrong_options_are_named(options, names):
    with pytest.raises(UserError) as caught:
        Segmentation(**options)
    for name in ("config.task_options.", *names):
        assert name in str(caught.value)


# --- Losses of maps. ----------------------------------------------------------------------------


def with_maps(logits, labels, maps):
    """A loss of maps, for the tests."""
    return jnp.sum(maps * logits, axis=(1, 2, 3))


def doubled(labels, num_classes, *, factor=2.0, spacing=None):
    """A map for the tests."""
    return factor * jnp.stack([labels == k for k in range(num_classes)], -1).astype(jnp.float32)


def bound(**term):
    section = ConfigDict({"mine": {"name": f"{__name__}:with_maps", "weight": 1.0} | term})
    return binding.bind(section, Segmentation().offers)[0]


def test_maps_are_made_from_the_labels_unless_the_task_has_them():
    labels = np.random.default_rng(0).integers(0, 3, (2, 4, 4))
    logits = jnp.ones((2, 4, 4, 3))
    fields = {"logits": logits, "labels": labels}
    by_name = bound(maps=f"{__name__}:doubled")
    np.testing.assert_allclose(by_name(fields), [32.0, 32.0])
    by_section = bound(maps={"name": f"{__name__}:doubled", "factor": 3.0})
    np.testing.assert_allclose(by_section(fields), [48.0, 48.0])
    ready = {**fields, "doubled_maps": jnp.full((2, 4, 4, 3), 0.5)}
    np.testing.assert_allclose(by_name(ready), [24.0, 24.0])
    alone = binding.make_term(with_maps, maps=doubled)
    np.testing.assert_allclose(binding.combine((alone,), fields)["loss"], [32.0, 32.0])


@pytest.mark.parametrize("map_name", sorted(maps.__all__))
@pytest.mark.parametrize("name", ["boundary", "region_wise", "region_wise_cross_entropy"])
def test_one_channel_is_two_of_which_the_first_is_zero(name, map_name):
    rng = np.random.default_rng(0)
    score = rng.standard_normal((2, 8, 8, 1)).astype(np.float32)
    labels = rng.integers(0, 2, (2, 8, 8))
    term = binding.make_term(getattr(losses, name), maps=getattr(maps, map_name))
    one = term({"logits": jnp.asarray(score), "labels": labels})
    both = np.concatenate([np.zeros_like(score), score], -1)
    two = term({"logits": jnp.asarray(both), "labels": labels})
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


def test_maps_have_no_gradient_of_their_own():
    def soft(labels, num_classes):
        return labels[..., None] ** 2

    term = binding.make_term(with_maps, maps=soft)
    fields = {"logits": jnp.ones((1, 2, 2, 1)), "labels": jnp.full((1, 2, 2), 3.0)}
    gradient = jax.grad(lambda y: term({**fields, "labels": y}).sum())(fields["labels"])
    assert not gradient.any()


def test_a_loss_that_takes_no_maps_refuses_them():
    section = ConfigDict({"a": {"name": "dice", "weight": 1.0, "maps": "rectified"}})
    with pytest.raises(UserError, match=r"config\.loss\.a\.maps='rectified': dice takes no maps"):
        binding.bind(section, Segmentation().offers)


def test_where_is_offered_only_with_a_field_of_view():
    assert Segmentation().offers == ("logits", "labels")
    task = Segmentation(within="field_of_view")
    assert task.offers == ("logits", "labels", "where")
    assert "where" in task.blank((8, 8), 2) and "field_of_view" in task.fields


@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_every_loss_takes_what_the_task_offers(outputs):
    """Shape-only, whatever the number of classes."""
    task = Segmentation(
        targets=("optic_disc", "optic_cup")[: max(1, outputs - 1)], within="field_of_view"
    )
    fields = task.blank((32, 32), 2)
    outs = {"logits": jax.ShapeDtypeStruct((2, 32, 32, outputs), jnp.float32)}
    offered = jax.eval_shape(task.bind, outs, fields)
    names = segmentation_losses()
    assert {"dice", "cross_entropy"} <= set(names) <= set(losses.__all__)
    section = ConfigDict({name: loss_term(name) for name in names})
    for term in binding.bind(section, task.offers):
        value = jax.eval_shape(term, offered)
        assert value.shape == (2,) and value.dtype == jnp.float32, term.name


def test_the_task_is_found_by_its_file():
    assert lookup.find("tasks", "segmentation") is Segmentation
