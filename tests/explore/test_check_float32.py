"""A loss that casts to float32 is judged by wider steps: right ones pass, wrong ones do not."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from segjax import losses
from segjax.cli import main
from segjax.config import lookup
from segjax.explore import check, differences, inputs

FORMS = {"float64": lambda x: x, "float32": lambda x: x.astype(jnp.float32)}
WORDS = "casts to float32: wider steps, differences to 1e-03"
pytestmark = pytest.mark.usefixtures("command_settings")


def with_slope(slope, form):
    """A binary cross entropy in one form; its gradient by the logits is put through `slope`."""

    @jax.custom_vjp
    def loss(logits, labels):
        return value(logits, labels)

    def value(logits, labels):
        z, t = FORMS[form](logits)[..., -1], labels > 0
        return jnp.mean(jax.nn.softplus(z) - t * z, axis=(1, 2))

    def forward(logits, labels):
        return value(logits, labels), (logits, labels)

    def backward(kept, g):
        right = jax.vjp(lambda z: value(z, kept[1]), kept[0])[1](g)[0]
        return slope(right), None

    loss.defvjp(forward, backward)
    return lambda logits, labels: loss(logits, labels)


def findings(loss, closed_form=None, **options):
    return check.check_loss(loss, closed_form, **{"seeds": (0,), **options})


@pytest.mark.parametrize("form", FORMS)
def test_a_right_gradient_passes_in_both_forms(form):
    found = findings(with_slope(lambda g: g, form), seeds=(0, 1))
    assert check.verdict(found) == ""
    assert {f.cast for f in found} == {"" if form == "float64" else "float32"}
    # The value of saturated logits is 1e4, whose rounding hides the slope by a single one
    ordinary = [f for f in found if form == "float64" or f.situation != "saturated"]
    assert len(ordinary) >= 8 and all(f.kinks == 0 and f.directions == 7 for f in ordinary)
    worst = max(f.differences for f in ordinary)
    assert worst < 1e-7 if form == "float64" else 0 < worst < 3e-4
    assert check.note(found) == ("" if form == "float64" else WORDS)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "slope",
    [
        lambda g: 1.01 * g,
        lambda g: 0.99 * g,
        lambda g: -g,
        lambda g: jnp.zeros_like(g) + g * (jnp.arange(g.shape[0]) > 0)[:, None, None, None],
        lambda g: jnp.clip(g, -5e-3, 5e-3),
        lambda g: g.at[:, 2, 5].set(0),
        lambda g: jnp.roll(g, 1, axis=2),
        lambda g: g + 1e-3,
    ],
    ids=[
        "more",
        "less",
        "sign",
        "an image missing",
        "clipped",
        "a pixel missing",
        "shifted",
        "sum",
    ],
)
def test_a_wrong_gradient_fails_in_both_forms(slope, form):
    assert "jax.grad differs from finite differences (" in check.verdict(
        findings(with_slope(slope, form))
    )


def mean(x):
    return jnp.mean(x, axis=(1, 2, 3))


@pytest.mark.parametrize(
    "loss",
    [
        lambda logits, labels: mean(logits**2).astype(jnp.float32),
        lambda logits, labels: mean(jax.nn.sigmoid(logits).astype(jnp.float32) ** 2),
        lambda logits, labels: mean(logits.astype(jnp.float32)),
        lambda logits, labels: mean(logits.astype(jnp.float32) ** 2 + logits),
    ],
    ids=["the value", "the probabilities", "the logits", "a part"],
)
def test_a_cast_anywhere_is_allowed_for(loss):
    found = findings(loss)
    assert check.verdict(found) == "" and {f.cast for f in found} == {"float32"}


def hinge(logits, labels):
    """Half of the pixels have a corner within the widest steps."""
    sign = (2 * (labels > 0) - 1).astype(jnp.float32)
    return jnp.mean(jax.nn.relu(1 - sign * logits[..., -1].astype(jnp.float32)), axis=(1, 2))


def thresholded(logits, labels):
    x = logits.astype(jnp.float32)
    return mean(x * (x > 0.3))


@pytest.mark.parametrize("loss", [hinge, thresholded])
@pytest.mark.parametrize("seed", [0, 4])
def test_corners_and_jumps_within_the_steps_condemn_nothing(loss, seed):
    found = findings(loss, seeds=(seed, seed + 1))
    assert check.verdict(found) == "" and sum(f.kinks for f in found) > 0
    scaled = jax.custom_vjp(loss)
    scaled.defvjp(
        lambda *arrays: (loss(*arrays), arrays),
        lambda kept, g: (1.02 * jax.vjp(lambda z: loss(z, kept[1]), kept[0])[1](g)[0], None),
    )
    wrong = findings(lambda logits, labels: scaled(logits, labels), seeds=(seed, seed + 1))
    assert "differs from finite differences" in check.verdict(wrong)


HERE = inputs.arguments(["logits"])["logits"].astype(np.float32)  # where seed 0 looks


def test_a_kink_or_a_jump_everywhere_compares_nothing():
    def kink(logits, labels):
        return jnp.sum(jnp.abs(logits.astype(jnp.float32) - HERE), axis=(1, 2, 3))

    def jump(logits, labels):
        x = logits.astype(jnp.float32)
        return jnp.sum(x + x * (x > HERE), axis=(1, 2, 3))

    for loss in (kink, jump):
        words = check.verdict(findings(loss, situations=("random",)))
        assert words == "nothing compared: a kink in every direction, or rounding hides the slope"


def test_a_slope_that_rounding_hides_is_not_called_right():
    def loss(logits, labels):
        return 1e6 + mean(jax.nn.sigmoid(logits.astype(jnp.float32)))

    # Saturated logits have a gradient of 0 that agrees, which says nothing of the others
    words = check.verdict(findings(loss))
    assert words.startswith("nothing compared") and words.endswith("rounding hides the slope")


@pytest.mark.parametrize("size", [1e-4, 1e4])
def test_arrays_of_any_size(size):
    def loss(scores):
        return mean(jax.nn.softplus(scores.astype(jnp.float32) / size))

    given = {"scores": size * inputs.arguments(["logits"])["logits"]}
    found = check.check_loss(loss, example=check.own_example(given, loss, "loss", "example"))
    assert check.verdict(found) == "" and all(f.kinks == 0 for f in found)


def test_too_few_digits():
    found = findings(lambda logits, labels: mean(logits.astype(jnp.bfloat16)))
    assert (
        check.verdict(found) == "casts to bfloat16: too few digits for differences (random, seed 0)"
    )
    assert check.note(found) == ""


def test_a_closed_form_is_held_to_the_digits_of_float32():
    def gradient(logits, labels, factor=1.0):
        found = np.zeros_like(logits)
        found[..., -1] = factor * (expit(logits[..., -1]) - (labels > 0)) / labels[0].size
        return found

    loss = with_slope(lambda g: g, "float32")
    assert check.verdict(findings(loss, gradient)) == ""
    assert all(f.closed_form < 1e-5 for f in findings(loss, gradient))
    wrong = findings(loss, lambda *arrays: gradient(*arrays, factor=1.0005))
    assert "the closed form differs from jax.grad" in check.verdict(wrong)


def four_corners(x):
    """x, with corners that cancel in differences over 0.05 and 0.025, but not over less."""
    beyond = max(abs(x) - 0.01, 0.0) * 0.2 - max(abs(x) - 0.02, 0.0) * 0.1
    return x + np.sign(x) * beyond


@pytest.mark.parametrize(
    "moved, slope, wanted",
    [
        (lambda x: 0.5 * abs(x) + x, 1.0, None),
        (lambda x: abs(x), 0.0, None),
        (lambda x: x**2, 0.0, 0.0),
        (lambda x: 3.0, 0.0, 0.0),
        (lambda x: float(x > 0), 0.0, None),
        (lambda x: x**2 + x, 1.0, 0.0),
        (lambda x: 50 * x**3 + x, 1.0, 0.0),
        (four_corners, 1.0, 0.0),
    ],
    ids=["slope", "corner", "least", "constant", "jump", "parabola", "cubic", "corners"],
)
def test_where_a_difference_means_something(moved, slope, wanted):
    shifted, one = lambda shift: moved(float(shift[0])), np.array([1.0])
    error = differences.over_wide_steps(shifted, 1.0, np.array([slope]), one, 1e-9)
    assert error is wanted if wanted is None else error == pytest.approx(wanted, abs=3e-4)


def test_a_step_beyond_what_the_loss_takes_is_halved():
    def moved(shift):
        x = 1e-3 + float(shift[0])
        return float(np.float32(np.log(x))) if x > 0 else np.nan

    direction, slope = np.array([1.0]), np.array([1e3])
    assert differences.over_wide_steps(moved, 1.0, slope, direction, 1e-7) < 1e-3
    assert differences.over_wide_steps(moved, 1.0, 1.02 * slope, direction, 1e-7) > 1e-3
    nowhere = differences.over_wide_steps(lambda shift: np.nan, 1.0, slope, direction, 1e-7)
    assert nowhere is None


OWN = """
import jax.numpy as jnp
def loss(logits, labels):
    return jnp.mean(logits.astype(jnp.float32) ** 2, axis=(1, 2, 3))
def loss_gradient(logits, labels):
    return FACTOR * logits / logits[0].size
"""


def test_the_row_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "casting.py").write_text(OWN.replace("FACTOR", "2"))
    (tmp_path / "casting_wrong.py").write_text(OWN.replace("FACTOR", "1"))
    assert main(["check", "guidance", "casting:loss", "casting_wrong:loss"]) == 1
    _, _, known, right, wrong, _, last = capsys.readouterr().out.splitlines()
    assert known.endswith("  ok") and right.endswith(f"  ok; {WORDS}")
    assert "FAIL: the closed form differs" in wrong and wrong.endswith(f"; {WORDS}")
    assert last.startswith("3 losses, 1 failure, ")


def in_float32(loss):
    def cast(*arrays):
        narrow = [a.astype(jnp.float32) if a.dtype == jnp.float64 else a for a in arrays]
        return loss(*narrow)

    cast.__signature__ = inspect.signature(loss)
    return cast


@pytest.mark.parametrize(
    "name",
    [
        "cross_entropy", "dice", "region_wise", "guidance", "triplet",
        pytest.param("every one", marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_losses_of_segjax_in_float32(name):
    for one in lookup.names("losses") if name == "every one" else [name]:
        _, closed_form = check.find(one)
        found = findings(in_float32(getattr(losses, one)), closed_form, name=one)
        assert check.verdict(found) == "" and found[0].cast == "float32", one


@pytest.mark.parametrize(
    "name, situation, seed",
    [
        # Corners that nearly cancel over several steps
        ("soft_cl_dice", "random", 0),
        # Equal logits at 1e4: a step of 500 leaves one of them, whatever the slope between them is
        ("coordinate_mean_squared_error", "saturated", 5),
    ],
)
def test_what_looks_smooth_over_steps_that_are_too_wide(name, situation, seed):
    loss = in_float32(getattr(losses, name))
    (found,) = findings(loss, situations=(situation,), seeds=(seed,))
    assert found.differences is None or found.differences < 1e-3
    assert found.largest > 1e-3 and found.fault == ""
