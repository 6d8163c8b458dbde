"""A loss is checked on arrays and options of the user's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.cli import main
from segjax.explore import check

pytestmark = pytest.mark.usefixtures("command_settings")
RNG = np.random.default_rng(0)
PREDICTED, TRUE = RNG.standard_normal((3, 7)), RNG.standard_normal((3, 7))


def power_error(predicted, true, *, power=2):
    return jnp.mean((predicted - true) ** power, axis=1)


def by_predicted(predicted, true, *, power=2):
    return power * (predicted - true) ** (power - 1) / predicted.shape[1]


def with_slope(loss, factor):
    """The loss, whose gradients are scaled."""

    @jax.custom_vjp
    def same(x):
        return x

    same.defvjp(lambda x: (x, None), lambda _, g: (factor * g,))
    return lambda predicted, true: loss(same(predicted), true)


def checked(loss, given, closed_form=None, seeds=(0,)):
    example = check.own_example(given, loss, "loss", "--example mine:example")
    return check.check_loss(loss, closed_form, example=example, seeds=seeds)


def test_arrays_by_the_names_of_the_loss():
    found = checked(power_error, {"true": TRUE, "predicted": PREDICTED}, by_predicted, (4, 5))
    assert check.verdict(found) == "" and [str(f) for f in found] == [
        "example, seed 4",
        "example, seed 5",
    ]
    # Three images: all at once, and three directions of each, by both arrays
    assert all(f.directions == 20 and f.closed_form < 1e-14 for f in found)
    assert check.note(found) == "gradient by predicted, true"
    largest = np.abs(by_predicted(PREDICTED, TRUE)).max()
    assert found[0].largest == pytest.approx(largest, rel=1e-6)


@pytest.mark.parametrize("factor", [1.0001, -1.0, 0.5])
def test_a_wrong_gradient_fails(factor):
    given = {"predicted": PREDICTED, "true": TRUE}
    assert check.verdict(checked(with_slope(power_error, 1.0), given)) == ""
    words = check.verdict(checked(with_slope(power_error, factor), given))
    assert words == "jax.grad differs from finite differences (example, seed 0)"


def test_a_wrong_gradient_of_a_loss_that_casts():
    def casting(predicted, true):
        return power_error(predicted.astype(jnp.float32), true.astype(jnp.float32))

    given = {"predicted": PREDICTED, "true": TRUE}
    right = checked(with_slope(casting, 1.0), given)
    assert check.verdict(right) == ""
    assert check.note(right) == (
        "casts to float32: wider steps, differences to 1e-03; gradient by predicted, true"
    )
    wrong = checked(with_slope(casting, 1.01), given)
    assert "differs from finite differences" in check.verdict(wrong)


def test_options_go_to_the_loss_and_to_its_closed_form():
    given = {"predicted": PREDICTED, "true": TRUE, "power": 4}
    found = checked(power_error, given, by_predicted)
    assert check.verdict(found) == ""
    assert found[0].largest == pytest.approx(
        np.abs(by_predicted(PREDICTED, TRUE, power=4)).max(), rel=1e-6
    )
    forgetful = lambda predicted, true, *, power: by_predicted(predicted, true)  # noqa: E731
    assert "closed form differs" in check.verdict(checked(power_error, given, forgetful))


def test_an_option_without_a_default():
    def needy(logits, labels, *, power):
        return jnp.mean(logits**power, axis=(1, 2, 3))

    logits = RNG.standard_normal((2, 4, 4, 2))
    given = {"logits": logits, "labels": np.zeros((2, 4, 4), int), "power": 2}
    assert check.verdict(checked(needy, given)) == ""


def test_an_array_without_a_slope_is_a_constant():
    def stopped(predicted, true):
        return power_error(predicted, jax.lax.stop_gradient(true))

    found = checked(stopped, {"predicted": PREDICTED, "true": TRUE})
    assert check.verdict(found) == "" and check.note(found) == "gradient by predicted"
    assert found[0].directions == 10
    constant = checked(
        lambda predicted, true: jax.lax.stop_gradient(power_error(predicted, true)),
        {"predicted": PREDICTED, "true": TRUE},
    )
    assert "differs from finite differences" in check.verdict(constant)


def test_by_the_names_of_segjax_where_the_loss_has_them():
    def weighted(logits, importance):
        return jnp.mean(logits**2, axis=(1, 2, 3)) * importance

    given = {"logits": RNG.standard_normal((2, 4, 4, 2)), "importance": np.array([1.0, 2.0])}
    found = checked(weighted, given)
    assert check.verdict(found) == "" and check.note(found) == "" and found[0].by == ("logits",)


def test_arrays_of_any_kind_become_numbers_in_float64():
    def loss(logits, labels):
        assert logits.dtype == jnp.float64 and labels.dtype in (jnp.int32, jnp.bool_)
        return jnp.mean(logits**2 * labels[..., None].astype(jnp.float64), axis=(1, 2, 3))

    logits = RNG.standard_normal((2, 4, 4, 2))
    labels = RNG.integers(0, 2, (2, 4, 4)).astype(np.int32)
    for given in (
        {"logits": logits.astype(np.float32), "labels": labels},
        {"logits": jnp.asarray(logits, jnp.bfloat16), "labels": labels > 0},
        {"logits": logits.tolist(), "labels": jnp.asarray(labels)},
    ):
        assert check.verdict(checked(loss, given)) == ""


def test_arrays_that_are_taken_by_keyword():
    def masked(logits, *, where, spacing=None):
        assert spacing == (1.0, 2.0) and where.dtype == bool
        return jnp.mean(jnp.where(where[..., None], logits**2, 0.0), axis=(1, 2, 3))

    where = np.zeros((2, 4, 4), bool)
    where[:, 1] = True
    given = {"logits": RNG.standard_normal((2, 4, 4, 2)), "where": where, "spacing": (1.0, 2.0)}
    found = checked(masked, given)
    assert check.verdict(found) == ""
    assert found[0].largest == pytest.approx(2 * np.abs(given["logits"][:, 1]).max() / 32)


def test_a_loss_that_pools_the_batch_gives_one_value():
    def pooled(logits, *, over="image"):
        values = jnp.mean(logits**2, axis=(1, 2, 3))
        return jnp.mean(values)[None] if over == "batch" else values

    logits = RNG.standard_normal((3, 4, 4, 2))
    assert check.verdict(checked(pooled, {"logits": logits})) == ""
    assert check.verdict(checked(pooled, {"logits": logits, "over": "batch"})) == ""
    single = lambda logits: pooled(logits, over="batch")  # noqa: E731
    words = check.verdict(checked(single, {"logits": logits}))
    assert words.startswith("returns shape (1,), takes one value per image, (3,)")


OWN = """
import numpy as np
import jax.numpy as jnp
def loss(predicted, true, *, power=2):
    return jnp.mean((predicted - true) ** power, axis=1)
def loss_gradient(predicted, true, *, power=2):
    return power * (predicted - true) ** (power - 1) / predicted.shape[1]
def other(predicted, true):
    return jnp.max(predicted - true, axis=1)
def example():
    rng = np.random.default_rng(0)
    return {"predicted": rng.standard_normal((2, 5)), "true": rng.standard_normal((2, 5))}
"""


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "ownloss.py").write_text(OWN)
    words = ["--example", "checks.ownloss:example"]
    assert main(["check", "checks.ownloss:loss", "checks.ownloss:other", *words]) == 0
    _, _, first, second, _, last = capsys.readouterr().out.splitlines()
    for row in (first, second):
        assert row.endswith("  ok; gradient by predicted, true") and "example, seed " in row
    assert "  0/28  " in first and float(first.split()[1]) < 1e-12 and second.split()[1] == "-"
    assert last.startswith("2 losses, 0 failures, ")
