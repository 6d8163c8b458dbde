"""Classification of patches: what a batch is, which are drawn, what losses take."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from segjax.data.pipeline import is_stateless
from segjax.errors import UserError
from tests.tasks import lesions as shared
from tests.tasks.patches import FULL, SIDE, experiment, made, patch_oracle, state

# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(128, 128), (129, 128), (8, 9)])
def test_even_sides_have_no_middle(size):
    with pytest.raises(UserError) as caught:
        made(image_size=size)
    assert f"config.data.image_size={size}: a patch needs odd sides" in str(caught.value)


@pytest.mark.parametrize(
    "option, value, word",
    [
        ("triplets", 1, "True or False"),
        ("ring", -1, "at least 0"),
        ("ring", 2.5, "at least 0"),
        ("rescore_epochs", -1, "at least 0"),
        ("pool", 0, "at least 1"),
        ("score_batch", 0, "at least 1"),
        ("judged_patches", 0, "at least 1"),
        ("scale", 0.0, "above 0 and at most 1"),
    ],
)
def test_options_are_refused_by_their_path(option, value, word):
    with pytest.raises(UserError) as caught:
        made(**{option: value})
    assert str(caught.value).startswith(f"config.task_options.{option}={value!r}: takes ")
    assert word in str(caught.value)


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("keep, word", [([0, 2], "is healthy"), ([1, 3], "has microaneurysms")])
def test_both_kinds_are_needed_to_train_and_to_judge(split, keep, word, tmp_path):
    splits = {"train": shared.SPLIT, "validation": shared.SPLIT}
    splits[split] = tuple(shared.SPLIT[index] for index in keep)
    task, data = made(), shared.Data(**splits)
    wanted = rf"config.data.splits.{split}='{split}\[:90%\]': no photograph {word}"
    with pytest.raises(UserError, match=wanted):
        task.check_place(experiment(task, tmp_path, data=data))
    with pytest.raises(UserError, match=wanted):
        if split == "train":
            task.source(experiment(task, tmp_path, data=data))
        else:
            task.evaluator(experiment(task, tmp_path, data=data), split, shared.one_device())


# --- inside the step ------------------------------------------------------------------------------


@pytest.mark.parametrize("triplets", [True, False])
def test_shapes_of_a_batch_on_its_way(triplets, tmp_path):
    task, count = made(triplets=triplets), 3 if triplets else 2
    source = task.source(experiment(task, tmp_path, resident="no"))
    batch = next(source.train_batches(0, 0, 5, slice(None)))
    (blank,) = task.blank(SIDE, 5).values()
    assert (batch["image"].shape, batch["image"].dtype) == (blank.shape, blank.dtype)
    assert blank.shape == (5, count, *SIDE, 3)
    inputs = task.inputs({"image": jnp.asarray(batch["image"])})
    assert inputs.shape == (5 * count, *SIDE, 3)
    # The patches of an example follow each other
    wanted = batch["image"].reshape(-1, *SIDE, 3) / 255
    np.testing.assert_allclose(inputs, wanted, rtol=1e-6)


@pytest.mark.parametrize("triplets", [True, False])
def test_augmentation_cuts_the_middle_and_moves_every_patch_by_itself(triplets, tmp_path):
    strengths = {"flip_horizontal": 0.5, "rotate": 20.0, "brightness": 0.2}
    task = made(triplets=triplets)
    given = experiment(task, tmp_path, augment=strengths, resident="yes")
    source = task.source(given)
    region = task.region(strengths)
    assert region > SIDE
    batch = next(source.train_batches(0, 0, 4, slice(None)))
    fields = task.taken(*jax.tree.map(jnp.asarray, (source.arrays, batch)))
    assert fields["image"].shape == (4, task.patches, *region, 3)
    plain = task.augmented(None, fields, {})["image"]
    for example in range(4):
        for place in range(task.patches):
            index, (y, x) = batch["index"][example, place], batch["corner"][example, place]
            middle = plain[example, place, SIDE[0] // 2, SIDE[1] // 2]
            np.testing.assert_array_equal(middle, shared.SPLIT[index]["image"][y, x])
    keys = jax.random.split(jax.random.key(1), 4)
    moved = task.augmented(keys, fields, strengths)["image"]
    assert moved.shape == plain.shape and moved.dtype == jnp.float32
    assert float(jnp.min(moved)) >= 0 and float(jnp.max(moved)) <= 255.001
    # Of one patch several times each comes out otherwise
    same = {"image": jnp.broadcast_to(fields["image"][:1, :1], fields["image"].shape)}
    apart = np.asarray(task.augmented(keys, same, {"brightness": 0.2})["image"])
    means = apart.reshape(4 * task.patches, -1).mean(axis=1)
    assert len(np.unique(means.round(3))) == 4 * task.patches


@pytest.mark.parametrize("triplets", [True, False])
def test_losses_take_each_patch_in_its_place(triplets):
    task = made(triplets=triplets)
    parts = ["anchor", "positive", "negative"] if triplets else ["anchor", "negative"]
    # Patches of one colour each, by which the network tells them
    colours = np.arange(4 * len(parts), dtype=np.uint8).reshape(4, len(parts)) * 20
    image = np.broadcast_to(colours[:, :, None, None, None], (4, len(parts), *SIDE, 3))
    inputs = task.inputs({"image": jnp.asarray(image)})
    outputs = shared.WholePatch().apply(state().variables, inputs, train=False)
    named = task.bind(outputs, {"image": jnp.asarray(image)})
    assert set(named) == {*task.offers} == {"logits", "labels", *(parts if triplets else ())}
    logits = np.asarray(outputs["logits"]).reshape(4, len(parts), 2)
    np.testing.assert_array_equal(named["logits"], logits[:, [0, -1]])
    assert named["labels"].dtype == jnp.int32
    np.testing.assert_array_equal(named["labels"], [[1, 0]] * 4)
    if triplets:
        for place, name in enumerate(parts):
            np.testing.assert_allclose(named[name][:, 0], colours[:, place] / 255, rtol=1e-6)


def test_what_a_network_must_give():
    task, image = made(), jnp.zeros((1, 3, *SIDE, 3), jnp.uint8)
    with pytest.raises(ValueError, match="1 outputs; lesion or not takes 2"):
        task.bind({"logits": jnp.zeros((3, 1))}, {"image": image})
    with pytest.raises(ValueError, match="`triplets` a model gives an `embedding`"):
        task.bind({"logits": jnp.zeros((3, 2))}, {"image": image})
    pairs = made(triplets=False)
    assert set(pairs.bind({"logits": jnp.zeros((2, 2))}, {"image": image[:, :2]})) == {
        "logits",
        "labels",
    }


def test_a_probability_is_the_softmax_of_its_logits():
    logits = np.random.default_rng(0).normal(0, 3, (7, 2))
    found = made().predict({"logits": jnp.asarray(logits, jnp.float32)})["probability"]
    np.testing.assert_allclose(found, np.exp(logits[:, 1]) / np.exp(logits).sum(axis=1), rtol=1e-5)


# --- draws ----------------------------------------------------------------------------------------


def test_anchors_and_positives_are_lesions_and_negatives_healthy(tmp_path):
    task = made()
    source = task.source(experiment(task, tmp_path, resident="yes"))
    batches = source.train_batches(0, 0, 8, slice(None))
    seen = [[], [], []]
    for batch in (next(batches) for _ in range(20)):
        for example in range(8):
            for place in range(3):
                index, (y, x) = batch["index"][example, place], batch["corner"][example, place]
                given = shared.SPLIT[index]
                seen[place].append((index, y, x))
                assert bool(given["microaneurysms"][y, x, 0]) == (place < 2)
                assert (given["grade"] == 0) == (place == 2)
    assert seen[0] != seen[1] and {index for index, *_ in seen[2]} == {1, 3}


def test_with_a_ring_negatives_lie_around_lesions_too(tmp_path):
    task = made(ring=2)
    source = task.source(experiment(task, tmp_path, resident="yes"))
    batches = source.train_batches(0, 0, 8, slice(None))
    near = set()
    for batch in (next(batches) for _ in range(60)):
        for index, (y, x) in zip(batch["index"][:, 2], batch["corner"][:, 2], strict=True):
            given = shared.SPLIT[index]
            assert not given["microaneurysms"][y, x, 0]
            if given["grade"]:
                distance = ndimage.distance_transform_edt(1 - given["microaneurysms"][..., 0])
                assert 0 < distance[y, x] < 2.5
                near.add((index, y, x))
    assert {index for index, *_ in near} == {0, 2} and len(near) > 4


@pytest.mark.parametrize("resident", ["yes", "no"])
def test_without_triplets_anchors_and_negatives_are_the_same(resident, tmp_path):
    batches = []
    for triplets in (True, False):
        task = made(triplets=triplets)
        source = task.source(experiment(task, tmp_path, resident=resident))
        batch = next(source.train_batches(7, 3, 6, slice(None)))
        batches.append(task.taken(*jax.tree.map(jnp.asarray, (source.arrays, batch)))["image"])
    np.testing.assert_array_equal(batches[0][:, [0, 2]], batches[1])
    assert not np.array_equal(batches[0][:, 0], batches[0][:, 1])


def test_negatives_follow_the_scores_of_the_state(tmp_path):
    task = made(pool=FULL, healthy_centres=FULL)
    source = task.source(experiment(task, tmp_path, resident="yes"))
    assert not is_stateless(source) and source.remembered() is None
    steep = state(40.0, -20.0)  # nearly 0 or nearly 1
    batches = source.train_batches(0, 0, 64, slice(None))

    def shares():
        batch, found = next(batches), []
        for index, centre in zip(batch["index"][:, 2], batch["corner"][:, 2], strict=True):
            image = shared.SPLIT[index]["image"]
            found.append(patch_oracle(image, centre, slope=40.0, offset=-20.0)[0])
        return np.mean(found)

    before = []
    for step in range(4):  # an epoch of four batches
        source.before_step(step, steep)
        before.append(shares())
    source.before_step(4, steep)
    assert np.mean(before) < 0.4 and shares() > 0.9
    assert source.remembered()["period"] == 1


def test_without_rescoring_nothing_is_remembered(tmp_path):
    task = made(rescore_epochs=0)
    assert is_stateless(task.source(experiment(task, tmp_path)))


def test_a_probe_is_the_first_examples_as_they_are(tmp_path):
    task = made()
    given = experiment(task, tmp_path, augment={"rotate": 20.0})
    fields = task.probe(given, "train", 3)
    assert fields["image"].shape == (3, 3, *SIDE, 3) and fields["image"].dtype == jnp.uint8
