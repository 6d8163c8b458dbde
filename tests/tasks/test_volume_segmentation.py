"""The task of volumes: what reaches the losses, and what a table of cases says."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.core import FrozenDict

from segjax import losses, maps
from segjax.errors import UserError
from segjax.tasks.binding import Maps, combine_scales, make_term
from segjax.tasks.metric import values_of
from segjax.tasks.volume_segmentation.data import _planes
from segjax.tasks.volume_segmentation.evaluation import dice_of_classes
from segjax.tasks.volume_segmentation.task import VolumeSegmentation, rectified_from_depth

CLASSES = ("RV", "M", "LV")
PATCH = (16, 16)


def make(**options):
    return VolumeSegmentation(**({"classes": CLASSES, "image_size": PATCH} | options))


def slices(count=4, size=24):
    """Nested squares with smooth images, and their rectified depth."""
    labels = np.zeros((count, size, size), np.uint8)
    for i in range(count):
        labels[i, 4 + i : 18, 5:19] = 2
        labels[i, 8 + i : 14, 9:15] = 3
        labels[i, 6:12, 1:4] = 1
    full = maps.rectified(jnp.asarray(labels, jnp.int32), 4)
    depth = -np.take_along_axis(np.asarray(full), labels[..., None].astype(int), axis=-1)
    image = labels[..., None].astype(np.float32) - 1
    fields = {"image": image, "labels": labels, "rectified_planes": depth}
    return {name: jnp.asarray(array) for name, array in fields.items()}, full


def test_a_rectified_map_is_its_labels_and_one_depth():
    fields, full = slices()
    labels = fields["labels"].astype(jnp.int32)
    made = rectified_from_depth(fields["rectified_planes"][..., 0], labels, 4)
    np.testing.assert_array_equal(made, full)


def test_without_augmentation_a_batch_is_its_patches():
    fields, _ = slices()
    task = make(volume_maps=("rectified",))
    corner = jnp.array([[0, 0], [8, 8], [3, 5], [8, 0]])
    cut = task.augmented(None, fields | {"corner": corner}, {})
    for i, (y, x) in enumerate(np.asarray(corner)):
        for name, field in fields.items():
            wanted = field[i, y : y + 16, x : x + 16]
            np.testing.assert_array_equal(cut[name][i], wanted)


@pytest.mark.parametrize("strengths", ["mirror", "all"])
def test_maps_stay_rectified_under_augmentation(strengths):
    fields, _ = slices()
    task = make(volume_maps=("rectified",))
    options = task.augmentations()
    if strengths == "mirror":
        options = {"mirror": 0.5}
    else:
        options |= {"rotate": 1.0, "scale": 1.0}
    keys = jax.random.split(jax.random.key(0), 4)
    corner = jnp.full((4, 2), 4)
    batch = fields | {"corner": corner}
    moved = jax.jit(lambda k, f: task.augmented(k, f, options))(keys, batch)
    logits = jax.random.normal(jax.random.key(1), (4, 16, 16, 4))
    named = task.bind({"logits": logits}, moved)
    assert named["labels"].shape == (4, 16, 16) and set(np.unique(named["labels"])) <= {0, 1, 2, 3}
    z, labels = np.asarray(named["rectified_maps"]), np.asarray(named["labels"])
    true = np.take_along_axis(z, labels[..., None], axis=-1)
    assert np.all((true <= 0) & (true >= -1 - 1e-6))
    others = np.arange(4) != labels[..., None]
    assert np.all(z[others] == 1)
    inside = (labels > 0) & (true[..., 0] < 0)
    assert np.mean(inside[labels > 0]) > 0.95  # what came with the labels is not lost on the way


@pytest.mark.parametrize(
    ("volume_maps", "more"), [((), {"mirror": 0.5}), (("rectified",), {"rotate": 1.0})]
)
def test_what_was_not_imaged_stays_zero_where_it_was_normalised_so(volume_maps, more):
    fields, _ = slices()
    around = np.zeros((4, 24, 24, 1), bool)
    around[:, 5:20, 6:22] = True
    imaged = np.concatenate([around, around], axis=-1).astype(np.float32)
    image = jnp.asarray(imaged * np.random.default_rng(0).normal(3, 1, imaged.shape), jnp.float32)
    batch = fields | {"image": image, "corner": jnp.full((4, 2), 4)}
    keys = jax.random.split(jax.random.key(3), 4)

    def moved(image, strengths, **options):
        task = make(channels=2, normalization=("zscore",) * 2, volume_maps=volume_maps, **options)
        fields = batch | {"image": image}
        return np.asarray(
            jax.jit(task.augmented, static_argnums=2)(keys, fields, strengths)["image"]
        )

    strengths = FrozenDict({"noise": 1.0, **more})
    plain = moved(image, strengths)
    got = moved(image, strengths, within_nonzero=(True, False))
    # Effects draw from keys of their own: without noise the same parts move to the same places.
    inside = moved(jnp.asarray(imaged), FrozenDict(more))[..., 0] > 0.5
    assert 0 < inside.mean() < 1 and np.all(plain[~inside] != 0)
    assert np.all(got[..., 0][~inside] == 0)
    # Two programs: their last bits may differ.
    np.testing.assert_allclose(got[..., 0][inside], plain[..., 0][inside], rtol=1e-6)
    np.testing.assert_allclose(got[..., 1], plain[..., 1], rtol=1e-6, atol=1e-6)


def test_maps_of_the_volume_and_of_the_patch_differ():
    fields, full = slices()
    corner = jnp.zeros((4, 2), jnp.int32)
    term = make_term(losses.region_wise, maps=maps.rectified)
    logits = jax.random.normal(jax.random.key(1), (4, 16, 16, 4))
    values = {}
    for words, options in {"volume": {"volume_maps": ("rectified",)}, "patch": {}}.items():
        task = make(**options)
        cut = task.augmented(None, fields | {"corner": corner}, {})
        values[words] = np.asarray(term(task.bind({"logits": logits}, cut)))
    from_volume = losses.region_wise(logits, full[:, :16, :16])
    np.testing.assert_allclose(values["volume"], from_volume, rtol=1e-6)
    patch = maps.rectified(fields["labels"][:, :16, :16].astype(jnp.int32), 4)
    np.testing.assert_allclose(values["patch"], losses.region_wise(logits, patch), rtol=1e-6)
    assert np.all(np.abs(values["volume"] - values["patch"]) > 1e-4)


def test_deep_heads_get_maps_of_their_own_scale():
    fields, _ = slices()
    terms = (make_term(losses.region_wise, maps=maps.rectified),)
    key = jax.random.key(2)
    outputs = {
        "logits": jax.random.normal(key, (4, 24, 24, 4)),
        "deep_logits": (jax.random.normal(key, (4, 12, 12, 4)), jnp.zeros((4, 6, 6, 4))),
    }
    labels = fields["labels"].astype(jnp.int32)
    for options in ({"volume_maps": ("rectified",)}, {}):
        task = make(image_size=(24, 24), **options)
        scales = task.scales(outputs, fields)
        assert [weight for weight, _ in scales] == pytest.approx([2 / 3, 1 / 3, 0])
        half = dict(scales[1][1])
        if options:
            wanted = maps.rectified(labels, 4)[:, 1::2, 1::2]
        else:
            wanted = maps.rectified(labels[:, 1::2, 1::2], 4)
        first = losses.region_wise(outputs["logits"], maps.rectified(labels, 4))
        second = losses.region_wise(outputs["deep_logits"][0], wanted)
        total = combine_scales(terms, scales)["loss"]
        np.testing.assert_allclose(total, 2 / 3 * first + 1 / 3 * second, rtol=1e-5)
        np.testing.assert_array_equal(half["labels"], labels[:, 1::2, 1::2])


# --- what is ignored -----------------------------------------------------------------------

HIDDEN = (slice(None), slice(3, 12), slice(8, 20))  # of every slice


def hidden(volume_maps=()):
    """The fields of `slices` with a part of which nothing is known, and with maps all over."""
    fields, _ = slices()
    fields["labels"] = fields["labels"].at[HIDDEN].set(255)
    generator = np.random.default_rng(5)
    for name in volume_maps:
        shape = (4, 24, 24, 1 if name == "rectified" else 4)
        fields[f"{name}_planes"] = jnp.asarray(generator.uniform(0.5, 1, shape), jnp.float32)
    return fields


LABEL_LOSSES = ("cross_entropy", "dice", "focal", "lovasz_softmax", "hausdorff_dt")
MAP_LOSSES = [
    (loss, name, volume)
    for loss in ("region_wise", "boundary", "region_wise_cross_entropy")
    for name in ("rectified", "boundary")
    for volume in (True, False)
]


@pytest.mark.parametrize(
    "loss, name, volume", [*((loss, None, False) for loss in LABEL_LOSSES), *MAP_LOSSES]
)
def test_no_loss_sees_what_is_ignored(loss, name, volume):
    """At every resolution: no slope there, and the value whatever the network says there."""
    volume_maps = (name,) if volume else ()
    task = make(image_size=(24, 24), ignored=True, volume_maps=volume_maps)
    fields = hidden(volume_maps)
    known = np.asarray(fields["labels"]) != 255
    assert 0.5 < known.mean() < 0.9
    terms = (make_term(getattr(losses, loss), maps=getattr(maps, name) if name else None),)
    shapes = [(4, 24, 24, 4), (4, 12, 12, 4), (4, 6, 6, 4)]
    arrays = [jax.random.normal(jax.random.key(k), shape) for k, shape in enumerate(shapes)]

    def value(arrays):
        outputs = {"logits": arrays[0], "deep_logits": tuple(arrays[1:])}
        return jnp.sum(combine_scales(terms, task.scales(outputs, fields))["loss"])

    slopes = jax.grad(value)(arrays)
    changed = []
    for array, slope, seen in zip(arrays, slopes, (known, known[:, 1::2, 1::2], None), strict=True):
        if seen is None:  # the lowest head has no weight
            changed.append(array)
            continue
        size = np.abs(np.asarray(slope)).max(axis=-1)
        assert np.all(size[~seen] == 0) and np.isfinite(size).all() and size[seen].max() > 0
        changed.append(jnp.where(seen[..., None], array, 50 * array + 7))
    assert value(changed) == pytest.approx(float(value(arrays)), rel=1e-5)


def test_untold_losses_of_labels_leave_it_out_and_those_of_maps_do_not():
    fields = hidden()
    key = jax.random.key(7)
    outputs = {"logits": jax.random.normal(key, (4, 24, 24, 4))}
    told, untold = (
        make(image_size=(24, 24), ignored=i).bind(outputs, fields) for i in (True, False)
    )
    assert "where" not in untold
    np.testing.assert_array_equal(told["where"], np.asarray(fields["labels"]) != 255)
    dice = make_term(losses.dice)
    np.testing.assert_array_equal(dice(told), dice(untold))
    boundary = make_term(losses.boundary, maps=maps.boundary)
    assert np.all(np.abs(boundary(told) - boundary(untold)) > 1e-3)


def test_maps_cost_nothing_where_it_is_ignored():
    fields = hidden(("rectified", "boundary"))
    task = make(image_size=(24, 24), ignored=True, volume_maps=("rectified", "boundary"))
    named = task.bind({"logits": jnp.zeros((4, 24, 24, 4))}, fields)
    known = np.asarray(fields["labels"]) != 255
    for name in ("rectified", "boundary"):
        values = np.asarray(named[f"{name}_maps"])
        assert np.all(values[~known] == 0) and np.all(values[known] != 0)


def test_augmentation_moves_what_is_ignored():
    fields = hidden(("rectified",))
    task = make(ignored=True, volume_maps=("rectified",))
    options = task.augmentations() | {"rotate": 1.0, "scale": 1.0, "mirror": 0.5}
    batch = fields | {"corner": jnp.full((4, 2), 4)}
    keys = jax.random.split(jax.random.key(0), 4)
    moved = jax.jit(lambda k, f: task.augmented(k, f, options))(keys, batch)
    labels = np.asarray(moved["labels"])
    assert {0, 2, 255} <= {*np.unique(labels)} <= {0, 1, 2, 3, 255}
    share = (labels == 255).mean(axis=(1, 2))
    assert np.all((share > 0.1) & (share < 0.6))
    where = np.asarray(task.bind({"logits": jnp.zeros((4, 16, 16, 4))}, moved)["where"])
    np.testing.assert_array_equal(where, labels != 255)


def test_dice_leaves_out_what_is_ignored():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, (4, 6, 5)).astype(np.uint8)
    predicted = generator.integers(0, 3, (4, 6, 5))
    labels[1:3, 2:5] = 255
    known = labels != 255
    found = dice_of_classes(predicted, labels, 3)
    wanted = []
    for k in (1, 2):
        both = sum(int(p == t == k) for p, t in zip(predicted[known], labels[known], strict=True))
        sizes = (predicted[known] == k).sum() + (labels[known] == k).sum()
        wanted.append(2 * both / sizes)
    np.testing.assert_allclose(found, wanted)
    # A class that is predicted where nothing is known alone is rightly absent
    only = np.where(known, 0, 1)
    np.testing.assert_array_equal(dice_of_classes(only, np.where(known, 0, 255), 2), [1.0])


@pytest.mark.parametrize("name", ["rectified", "boundary", "signed", "hausdorff"])
def test_maps_of_whole_volumes_with_what_is_ignored(name):
    """As `segjax.maps` has them for a label that is of no class; rectified ones by their depth."""
    labels = np.zeros((3, 12, 10), np.uint8)
    labels[:, 2:9, 2:8] = 1
    labels[1, 4:7, 3:6] = 2
    labels[:, 6:, 5:] = 255
    smaller = labels[:2, :9]
    cases = [SimpleNamespace(labels=array, spacing=(3.0, 1.0, 1.0)) for array in (labels, smaller)]
    task = make(classes=("a", "b"), ignored=True, volume_maps=(name,))
    function = getattr(maps, name)
    made = list(_planes(Maps(function), task, cases))
    for case, planes in zip(cases, made, strict=True):
        full = function(jnp.asarray(case.labels[None], jnp.int32), 3, spacing=(3.0, 1.0, 1.0))[0]
        known = case.labels != 255
        assert planes.shape == (*case.labels.shape, task.map_planes(name))
        if name == "rectified":
            true = np.where(known, case.labels, 0)[..., None].astype(int)
            depth = -np.take_along_axis(np.asarray(full), true, axis=-1)
            np.testing.assert_allclose(planes[known], depth[known], rtol=1e-5)
            assert np.all(planes[~known] == 0)
        else:
            np.testing.assert_allclose(planes, full, rtol=1e-5, atol=1e-5)


def test_shapes_without_data():
    task = make(volume_maps=("boundary", "rectified"), channels=2, normalization=("zscore",) * 2)
    blank = task.blank(PATCH, 2)
    assert blank["boundary_planes"].shape == (2, 16, 16, 4)
    assert blank["rectified_planes"].shape == (2, 16, 16, 1)
    cut = functools.partial(task.augmented, strengths={})
    assert jax.eval_shape(cut, None, blank)["image"].shape == (2, 16, 16, 2)


def test_means_leave_out_distances_that_are_not_there():
    task = make(classes=("a", "b"), groups=("ED", "ES"))
    rows = np.array(
        [
            # dice, hausdorff, true volume, volume of a; of b; mean dice
            [0.8, 3.0, 1, 1, 0.5, np.inf, 1, 0, 0.65],
            [0.6, 5.0, 1, 1, 1.0, 0.0, 0, 0, 0.80],
            [0.4, 7.0, 1, 1, 0.0, np.inf, 0, 2, 0.20],
        ]
    )
    columns = dict(zip(task.columns, rows.T, strict=True))
    means = values_of(task.metrics, columns, ["p1_ED", "p1_ES", "p2_ED"])
    assert means["dice"] == pytest.approx(0.55)
    assert means["dice/a"] == pytest.approx(0.6) and means["dice/a/ED"] == pytest.approx(0.6)
    assert means["hausdorff/a"] == pytest.approx(5) and means["hausdorff/a/ES"] == pytest.approx(5)
    assert means["hausdorff/b"] == 0 and means["missing/b"] == 2
    assert np.isnan(means["hausdorff/b/ED"]) and means["missing/b/ED"] == 2
    shown = [metric for metric in task.metrics if metric.reported]
    keys = [metric.name for metric in shown]
    assert keys[:4] == ["dice/a/ED", "hausdorff/a/ED", "dice/a/ES", "hausdorff/a/ES"]
    assert {metric.columns[0] for metric in shown} < set(task.columns)
    assert set(keys) <= set(means) and keys[-1] == "dice"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": ()}, "classes=() : takes different names"),
        ({"classes": ("a", "a")}, "classes=('a', 'a'): takes different names"),
        ({"channels": 0}, "channels=0: takes a whole number of at least 1"),
        ({"pixel_spacing": (1.0, 0.0)}, "pixel_spacing=(1.0, 0.0): takes (height, width)"),
        ({"pixel_spacing": (1.0,)}, "pixel_spacing=(1.0,): takes (height, width)"),
        ({"normalization": ("minmax",)}, "normalization=('minmax',): takes one of zscore, CT"),
        ({"normalization": ("CT",)}, "intensities=(): takes mean, sd"),
        ({"foreground": 1.5}, "foreground=1.5: takes a number from 0 to 1"),
        ({"tile_step": 0}, "tile_step=0: takes a number above 0 and at most 1"),
        ({"epoch_batches": 0}, "epoch_batches=0: takes a whole number"),
        ({"ignored": 255}, "ignored=255: takes True or False"),
        ({"slice_axis": 3}, "slice_axis=3: takes one of 0, 1, 2, or none"),
        ({"within_nonzero": (True, True)}, "within_nonzero=(True, True): takes True or False"),
    ],
)
def test_wrong_options_are_named(options, words):
    with pytest.raises(UserError) as caught:
        make(**options)
    assert words.replace(" :", ":") in str(caught.value)


def test_outputs_that_do_not_fit_the_classes():
    fields, _ = slices()
    with pytest.raises(ValueError, match="3 outputs for 3 classes and the background"):
        make().bind({"logits": jnp.zeros((4, 24, 24, 3))}, fields)
