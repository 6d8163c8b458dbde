import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from segjax.data.augment import augment_slice, intensity
from tests.data.augment.test_slices import OFF, compiled, keys, samples
from tests.data.augment.test_warp import smooth

VALUES = ("noise", "blur", "brightness", "contrast", "low_resolution", "inverted_gamma", "gamma")


def one_effect(function, image, *levels, number=1):
    """An effect on the image [h, w, c] for several keys."""
    run = jax.jit(jax.vmap(lambda key: function(key, np.moveaxis(image, -1, 0), *levels)))
    return np.moveaxis(np.asarray(run(keys(number))), 1, -1)


def gamma_oracle(image, power):
    image = np.float64(image)
    least, reach = image.min((0, 1)), np.ptp(image, axis=(0, 1))
    changed = ((image - least) / reach) ** power * reach + least
    standard = (changed - changed.mean((0, 1))) / changed.std((0, 1))
    return standard * image.std((0, 1)) + image.mean((0, 1))


def contrast_oracle(image, factor):
    mean = image.mean((0, 1), dtype=np.float64)
    return np.clip(mean + factor * (image - mean), image.min((0, 1)), image.max((0, 1)))


@pytest.mark.parametrize(
    "function, value, oracle",
    [
        (intensity.multiply, 0.8, lambda x, k: k * x),
        (intensity.contrast, 0.8, contrast_oracle),
        (intensity.contrast, 1.3, contrast_oracle),
        (intensity.gamma, 0.8, gamma_oracle),
        (intensity.inverted_gamma, 1.3, lambda x, g: -gamma_oracle(-x, g)),
    ],
)
def test_each_change_of_values_is_its_formula(function, value, oracle):
    image = 0.3 + 1.7 * smooth(20, 18, 3, sigma=1.0)
    got = one_effect(function, image, value, value)[0]
    np.testing.assert_allclose(got, oracle(image, value), rtol=1e-4, atol=1e-5)
    assert np.abs(got - image).max() > 0.05


def test_the_effects_follow_one_another_in_nnunets_order():
    image = smooth(20, 18, 2, sigma=1.0)
    fixed = {"brightness": 0.8, "contrast": 1.25, "gamma": 0.7}
    levels = {f"{name}_{end}": v for name, v in fixed.items() for end in ("low", "high")}
    run = compiled((20, 18), **dict.fromkeys((*fixed, "inverted_gamma"), 1.0), **levels)
    nothing = np.zeros((1, 20, 18), np.int32), np.zeros((1, 20, 18, 0), np.float32)
    got = run(keys(1), image[None], *nothing)[0][0]
    wanted = contrast_oracle(0.8 * image, 1.25)
    wanted = gamma_oracle(-gamma_oracle(-wanted, 0.7), 0.7)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_every_option_reaches_its_effect(monkeypatch):
    calls = []

    def note(key, probability, effect, image):
        calls.append((probability, *effect.args))
        return image

    monkeypatch.setattr(intensity, "sometimes", note)
    often = {name: 0.01 * (k + 1) for k, name in enumerate(VALUES)}
    levels = {"noise_variance": 0.3, "blur_low": 0.6, "blur_high": 0.7, "brightness_low": 0.4}
    levels |= {"brightness_high": 1.9, "contrast_low": 0.45, "contrast_high": 1.8}
    levels |= {"zoom_low": 0.3, "zoom_high": 0.8, "gamma_low": 0.55, "gamma_high": 1.7}
    shapes = (jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for x in samples(1))
    options = {"patch": (24, 20), "num_classes": 4, **OFF, **often, **levels}
    jax.eval_shape(lambda *a: augment_slice(jax.random.key(0), *a, **options), *shapes)
    assert calls == [
        (0.01, intensity.add_noise, [0.3]),
        (0.02, intensity.blur, [0.6, 0.7]),
        (0.03, intensity.multiply, [0.4, 1.9]),
        (0.04, intensity.contrast, [0.45, 1.8]),
        (0.05, intensity.low_resolution, [0.3, 0.8]),
        (0.06, intensity.inverted_gamma, [0.55, 1.7]),
        (0.07, intensity.gamma, [0.55, 1.7]),
    ]


@pytest.mark.parametrize("probability", [0.3, 1.0])
def test_effects_come_as_often_as_asked(probability):
    def draw(key):
        return intensity.sometimes(key, probability, lambda key, x: x + 1, jnp.zeros((1, 1, 1)))

    drawn = np.asarray(jax.jit(jax.vmap(draw))(keys(2000)))
    assert {*np.unique(drawn)} <= {0, 1}
    assert drawn.mean() == pytest.approx(probability, abs=0.04 * (probability < 1))


def channels_changed(got, image, wanted):
    """Which channels equal what the effect makes of them; all others must be untouched."""
    changed = np.abs(got - image).reshape(len(got), -1, image.shape[-1]).max(1) > 0
    for one, which in zip(got, changed, strict=True):
        np.testing.assert_allclose(one[..., which], wanted[..., which], atol=2e-5)
    return changed


@pytest.mark.parametrize("sigma", [0.5, 1.3])
def test_blur_is_gaussian_in_half_of_the_channels(sigma):
    image = smooth(20, 18, 3, sigma=0.5)
    got = one_effect(intensity.blur, image, sigma, sigma, number=64)
    wanted = ndimage.gaussian_filter(np.float64(image), (sigma, sigma, 0))
    changed = channels_changed(got, image, wanted)
    assert 0.35 < changed.mean() < 0.65 and 0.05 < changed.all(1).mean() < 0.3


@pytest.mark.parametrize("zoom", [0.5, 0.87])
def test_low_resolution_is_nearest_down_and_linear_up_in_half_of_the_channels(zoom):
    image = smooth(20, 17, 3, sigma=0.5)
    got = one_effect(intensity.low_resolution, image, zoom, zoom, number=64)
    small = [round(side * zoom) for side in (20, 17)]
    rows, columns = (
        np.floor((np.arange(n) + 0.5) * side / n).astype(int)
        for n, side in zip(small, (20, 17), strict=True)
    )
    wanted = np.float64(image)[rows][:, columns]
    for axis, (n, side) in enumerate(zip(small, (20, 17), strict=True)):
        at = (np.arange(side) + 0.5) * n / side - 0.5
        wanted = ndimage.map_coordinates(
            np.moveaxis(wanted, axis, 0),
            np.meshgrid(at, *map(np.arange, np.moveaxis(wanted, axis, 0).shape[1:]), indexing="ij"),
            order=1,
            mode="nearest",
        )
        wanted = np.moveaxis(wanted, 0, axis)
    changed = channels_changed(got, image, wanted)
    assert 0.35 < changed.mean() < 0.65


def test_gamma_keeps_mean_and_deviation():
    image = 5 + 3 * smooth(20, 18, 2, sigma=1.0)
    got = one_effect(intensity.gamma, image, 0.7, 1.5, number=16)
    assert np.abs(got - image).reshape(16, -1).max(1).min() > 0.01
    np.testing.assert_allclose(got.mean((1, 2)), np.tile(image.mean((0, 1)), (16, 1)), rtol=1e-5)
    np.testing.assert_allclose(got.std((1, 2)), np.tile(image.std((0, 1)), (16, 1)), rtol=1e-4)


def test_noise_is_normal_and_its_deviation_uniform():
    image = smooth(40, 40, 2)
    noise = one_effect(intensity.add_noise, image, 0.2, number=200) - image
    deviation = noise.std((1, 2))
    np.testing.assert_allclose(deviation[:, 0], deviation[:, 1], rtol=0.15, atol=1e-6)
    quartiles = np.quantile(deviation, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(quartiles, [0.05, 0.1, 0.15, 0.2], atol=0.025)
    standard = noise / deviation[:, None, None]
    assert abs((standard**4).mean() - 3) < 0.1 and abs(standard.mean()) < 0.01
    assert abs((standard[..., 0] * standard[..., 1]).mean()) < 0.01


def test_factors_lie_below_and_above_one_equally_often():
    draw = jax.vmap(lambda key: intensity.factor(key, 0.7, 1.5, (2,)))
    drawn = np.asarray(draw(keys(2000)))
    assert drawn.min() >= 0.7 and drawn.max() <= 1.5
    quartiles = np.quantile(drawn, [0.25, 0.5, 0.75])
    np.testing.assert_allclose(quartiles, [0.85, 1.0, 1.25], atol=0.02)
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.1


@pytest.mark.parametrize("function", [intensity.gamma, intensity.contrast])
def test_a_constant_image_stays_one(function):
    got = one_effect(function, np.full((16, 16, 2), 3.0, np.float32), 0.8, 0.8)
    np.testing.assert_allclose(got, 3.0, rtol=1e-5)
