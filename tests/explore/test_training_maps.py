import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from segjax.explore import training_maps
from segjax.explore.training_maps import negative_components
from tests.explore.figures import pixels_of


def region_wise(logits, maps):
    return jnp.mean(jax.nn.softmax(logits, axis=-1) * maps, axis=(1, 2, 3))


@pytest.mark.parametrize("shape", [(2, 5, 6, 3), (1, 3, 4, 5, 4), (2, 7, 2)])
def test_signs_are_those_of_the_gradient(shape):
    rng = np.random.default_rng(0)
    logits, maps = 2 * rng.standard_normal(shape), rng.standard_normal(shape)
    probs = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    gradient = probs * (maps - (probs * maps).sum(axis=-1, keepdims=True))
    counts = jax.jit(negative_components)(jnp.float32(logits), jnp.float32(maps))
    assert counts.dtype == jnp.int32
    np.testing.assert_array_equal(counts, (gradient < 0).sum(axis=-1))


def test_equal_values_give_none_and_saturation_gives_at_most_the_better_classes():
    logits = jnp.array([[[1e4, -1e4, 0.0], [0.3, 0.1, -5.0]]])
    assert not negative_components(logits, jnp.full(logits.shape, 0.7)).any()
    maps = jnp.broadcast_to(jnp.array([1.0, 1.0, -1.0])[None, None], logits.shape)
    np.testing.assert_array_equal(negative_components(logits, maps), [[1, 1]])


@pytest.mark.parametrize(
    "logits, maps, error",
    [
        ((2, 4, 4, 3), (2, 4, 4, 2), ValueError),
        ((2, 4, 4, 1), (2, 4, 4, 1), ValueError),
        ((4, 3), (4, 3), ValueError),
    ],
)
def test_errors_are_static(logits, maps, error):
    arrays = jax.ShapeDtypeStruct(logits, jnp.float32), jax.ShapeDtypeStruct(maps, jnp.float32)
    with pytest.raises(error, match="`(logits|maps)`"):
        jax.eval_shape(negative_components, *arrays)


def test_the_scene_has_four_classes_in_place():
    scene = training_maps.phantom(32, noise=0.0)
    assert scene.image.dtype == np.float32 and scene.labels.dtype == np.int32
    assert set(np.unique(scene.labels)) == {0, 1, 2, 3}
    for k in range(4):
        assert len(np.unique(scene.image[scene.labels == k])) == 1
    np.testing.assert_array_equal(scene.labels, training_maps.phantom(32, seed=1).labels)


def boundary_maps(labels, rectify):
    planes = []
    for k in range(4):
        inside, outside = distance_transform_edt(labels == k), distance_transform_edt(labels != k)
        planes.append(
            np.where(labels == k, -inside / inside.max(), 1) if rectify else outside - inside
        )
    return np.stack(planes, axis=-1)


@pytest.mark.usefixtures("command_settings")  # optax
def test_training_learns_and_only_rectified_maps_have_right_signs_throughout():
    scene = training_maps.phantom(24)
    trained = {}
    for title, rectify in (("boundary maps", False), ("rectified maps", True)):
        maps = boundary_maps(scene.labels, rectify)
        record = training_maps.train(scene, maps, region_wise, steps=30, watched=(0, 5, 30))
        assert record.shares.shape == record.accuracies.shape == (31,)
        assert list(record.counts) == list(record.predictions) == [0, 5, 30]
        assert record.accuracies[-1] > 0.75 > record.accuracies[0]
        for step, count in record.counts.items():
            assert np.mean(count > 1) == pytest.approx(record.shares[step], abs=1e-6)
            right = np.mean(record.predictions[step] == scene.labels)
            assert right == pytest.approx(record.accuracies[step], abs=1e-6)
        trained[title] = record
    first, second = trained.values()
    assert first.shares[0] > 0.3 and first.shares[0] > 2 * first.shares[-1] > 0
    assert not second.shares.any() and all((c == 1).all() for c in second.counts.values())
    figure = training_maps.training_figure(scene, trained)
    assert len(figure.axes) == 2 * 5 + 1 and pixels_of(figure).std() > 10
