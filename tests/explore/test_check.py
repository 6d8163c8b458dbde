"""The gradient check finds each kind of mistake, and nothing else."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from segjax import losses
from segjax.cli import main
from segjax.config import lookup
from segjax.explore import check, check_table, gradients, inputs


def right(logits, labels):
    """The mean binary cross entropy of the last channel, and below its gradient."""
    z, t = logits[..., -1], (labels > 0).astype(logits.dtype)
    return jnp.mean(jax.nn.softplus(z) - t * z, axis=(1, 2))


def right_gradient(logits, labels):
    gradient = np.zeros_like(logits)
    gradient[..., -1] = (expit(logits[..., -1]) - (labels > 0)) / labels[0].size
    return gradient


def verdict(loss, closed_form=None, **options):
    return check.verdict(check.check_loss(loss, closed_form, seeds=(0,), **options))


def test_a_right_gradient_passes_everywhere():
    findings = check.check_loss(right, right_gradient)
    assert check.verdict(findings) == ""
    assert len(findings) == 10 and {f.situation for f in findings} == set(inputs.SITUATIONS)
    assert all(f.closed_form < 1e-14 and f.differences < 1e-7 and f.kinks == 0 for f in findings)
    assert all(f.directions == 7 and f.largest > 0 for f in findings)


@pytest.mark.parametrize(
    "change",
    [
        lambda g: 1.000001 * g,
        lambda g: -g,
        lambda g: g + 1e-9,
        lambda g: g * (np.arange(g.shape[1]) != 3)[None, :, None, None],
        lambda g: np.where(np.arange(3) == 1, np.nan, g),
    ],
    ids=["factor", "sign", "offset", "a row missing", "nan"],
)
def test_a_wrong_closed_form_fails(change):
    wrong = lambda *arrays: change(right_gradient(*arrays))  # noqa: E731
    assert "closed form differs from jax.grad" in verdict(right, wrong, situations=("random",))


def test_a_closed_form_of_the_wrong_shape_fails():
    wrong = lambda *arrays: right_gradient(*arrays)[..., :1]  # noqa: E731
    assert "ValueError: the closed form has shapes [(2, 8, 8, 1)]" in verdict(right, wrong)


def with_slope(slope):
    """The right loss, whose gradient is put through `slope`."""

    @jax.custom_vjp
    def same(z):
        return z

    same.defvjp(lambda z: (z, None), lambda _, g: (slope(g),))
    return lambda logits, labels: right(same(logits), labels)


@pytest.mark.parametrize(
    "slope",
    [
        lambda g: 1.0001 * g,
        lambda g: -g,
        lambda g: jnp.clip(g, -1e-2, 1e-2),
        lambda g: g.at[:, 2, 5].set(0),
        lambda g: g.at[1].set(0),
        lambda g: jnp.roll(g, 1, axis=2),
    ],
    ids=["factor", "sign", "clipped", "a pixel missing", "an image missing", "shifted"],
)
def test_a_wrong_automatic_gradient_fails(slope):
    assert "differs from finite differences" in verdict(with_slope(slope))


HERE = inputs.arguments(["logits"])["logits"]  # where seed 0 looks


def partly_stopped(logits, labels):
    probs = jax.nn.sigmoid(logits[..., 0])
    return jnp.mean(probs * jax.lax.stop_gradient(probs), axis=(1, 2))


def not_finite_when_saturated(logits, labels):
    return -jnp.mean(jnp.log(jax.nn.sigmoid(logits[..., 0])), axis=(1, 2))


def no_slope_when_empty(logits, labels):
    some = jnp.sum(labels, axis=(1, 2)).astype(logits.dtype)
    return jnp.sqrt(some * jnp.sum(logits**2, axis=(1, 2, 3)))


def constant(logits, labels):
    return jnp.ones_like(logits[:, 0, 0, 0])


def reduced(logits, labels):
    return jnp.mean(logits)


def counted(logits, labels):
    return jnp.sum(logits > 0, axis=(1, 2, 3))


def kinked_where_it_has_a_slope(logits, labels):
    values = jnp.sum(jnp.abs(logits - HERE) + logits, axis=(1, 2, 3))
    return jnp.where(jnp.max(jnp.abs(logits)) < 1e3, values, jnp.zeros_like(values))


def raising(logits, labels):
    raise ValueError("two\nlines")


@pytest.mark.parametrize(
    "loss, words",
    [
        (partly_stopped, "jax.grad differs from finite differences"),
        (not_finite_when_saturated, "the value is not finite (saturated, seed 0)"),
        (no_slope_when_empty, "the gradient is not finite (empty, seed 0)"),
        (constant, "the gradient is 0 everywhere"),
        (reduced, "returns shape (), takes one value per image, (2,) (random"),
        (counted, "returns int64, takes floating numbers (random, seed 0)"),
        (kinked_where_it_has_a_slope, "nothing compared: a kink in every direction"),
        (raising, "ValueError: two lines (random, seed 0)"),
    ],
)
def test_what_else_is_wrong_with_a_loss(loss, words):
    assert words in verdict(loss)


def a_kink_everywhere(logits, labels):
    return jnp.sum(jnp.abs(logits - HERE), axis=(1, 2, 3))


def a_jump_everywhere(logits, labels):
    return jnp.sum(logits * (logits > HERE).astype(logits.dtype), axis=(1, 2, 3))


def one_kink(logits, labels):
    corner = 1e-3 * jnp.abs(logits[:, 0, 0, 0] - HERE[:, 0, 0, 0])
    return jnp.mean(logits**2, axis=(1, 2, 3)) + corner


@pytest.mark.parametrize("loss", [a_kink_everywhere, a_jump_everywhere])
def test_a_loss_without_any_direction_to_compare_fails(loss):
    assert verdict(loss, situations=("random",)) == "nothing compared: a kink in every direction"


def test_directions_with_a_kink_are_skipped_and_counted():
    (finding,) = check.check_loss(one_kink, seeds=(0,), situations=("random",))
    # All images at once, and each image's own: these move the corner.
    assert (finding.kinks, finding.directions) == (3, 7)
    assert finding.differences < 1e-6 and check.verdict([finding]) == ""


def curved(logits, labels):
    return jnp.mean(jnp.cos(300 * logits), axis=(1, 2, 3))


def test_curvature_is_no_kink():
    (finding,) = check.check_loss(curved, seeds=(0,), situations=("random",))
    assert finding.kinks == 0 and finding.differences < 1e-4


def product(anchor, positive, negative):
    return jnp.sum(anchor * positive * negative, axis=-1)


def stopped_product(anchor, positive, negative):
    return product(anchor, positive, jax.lax.stop_gradient(negative))


def test_all_arrays_of_a_triplet_are_checked():
    assert check.leaves_of(losses.triplet) == (0, 1, 2)
    assert check.leaves_of(losses.region_wise_cross_entropy) == (0,)
    assert verdict(product, lambda a, p, n: (p * n, a * n, a * p)) == ""
    assert "closed form differs" in verdict(product, lambda a, p, n: (p * n, a * n, a * n))
    assert "finite differences" in verdict(stopped_product)


def test_every_loss_can_be_checked():
    for name in lookup.names("losses"):
        loss, closed_form = check.find(name)
        check.check_inputs(loss, name)
        assert (closed_form is not None) == (name in gradients.__all__)
    assert set(gradients.__all__) <= set(losses.__all__)


OWN = """
import jax.numpy as jnp
def loss(logits, labels, *, power=2):
    return jnp.mean(logits ** power, axis=(1, 2, 3))
def loss_gradient(logits, labels, *, power=2):
    return FACTOR * logits / logits[0].size
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, importable from as the command does, and forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in ("own_right", "own_wrong"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


@pytest.mark.usefixtures("command_settings")
def test_the_command_prints_a_table_and_its_status_says_whether_one_failed(folder, capsys):
    (folder / "own_right.py").write_text(OWN.replace("FACTOR", "2"))
    (folder / "own_wrong.py").write_text(OWN.replace("FACTOR", "1"))
    assert main(["check", "guidance", "own_right:loss"]) == 0
    head, rule, first, second, _, last = capsys.readouterr().out.splitlines()
    assert head.split() == "loss closed form differences kinks worst verdict".split()
    assert set(rule) == {"-"} and max(map(len, (head, first, second))) <= len(rule)
    assert first.startswith("guidance  ") and second.startswith("own_right:loss  ")
    assert first.endswith("  ok") and second.endswith("  ok")
    assert last.startswith("2 losses, 0 failures, ") and last.endswith(" s")
    assert main(["check", "own_wrong:loss", "--seed", "5"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "FAIL: the closed form differs from jax.grad (" in lines[2] and "seed " in lines[2]
    assert lines[-1].startswith("1 loss, 1 failure, ")


def test_the_seed_changes_the_inputs(capsys):
    check_table.run(["guidance"], seed=0)
    first = capsys.readouterr().out.splitlines()[2]
    check_table.run(["guidance"], seed=10)
    assert capsys.readouterr().out.splitlines()[2] != first


@pytest.mark.slow
def test_every_loss_passes():
    assert check_table.run() == 0
