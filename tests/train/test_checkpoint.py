"""Checkpoints in one process: what is kept, what is restored, what a damaged one does."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from segjax.errors import UserError
from segjax.train import state as states
from segjax.train.checkpoint import Checkpoints


def made(value):
    params = {"kernel": jnp.full((64, 64), value, jnp.float32)}
    return states.create({"params": params}, optax.sgd(0.1))


def damage(folder):
    for file in folder.rglob("*"):
        if file.is_file() and file.stat().st_size:
            file.write_bytes(b"")


@pytest.fixture
def folder(tmp_path):
    """Three saved states, of which the newest two are kept."""
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save("latest", step, made(float(step)), {"evaluated": step})
    return tmp_path


def restored(folder):
    with Checkpoints(folder, keep=2) as checkpoints:
        return checkpoints.restore("latest", made(0.0))


def kernel(state):
    return np.asarray(jax.device_get(state.params["kernel"]))


def test_newest_is_restored_and_only_so_many_are_kept(folder):
    state, book = restored(folder)
    assert (kernel(state) == 3.0).all() and book == {"evaluated": 3}
    latest = folder / "checkpoints" / "latest"
    assert sorted(p.name for p in latest.iterdir() if p.name.isdigit()) == ["2", "3"]


def test_nothing_saved_gives_nothing(tmp_path):
    assert restored(tmp_path) is None


def test_damaged_newest_is_named_and_moved_aside(folder, capfd):
    damage(folder / "checkpoints" / "latest" / "3")
    state, book = restored(folder)
    assert (kernel(state) == 2.0).all() and book == {"evaluated": 2}
    assert f"damaged checkpoint {folder / 'checkpoints' / 'latest' / '3'}" in capfd.readouterr().err
    assert (folder / "checkpoints" / "damaged" / "latest-3-0").is_dir()


def test_all_damaged_is_said_and_nothing_is_lost(folder):
    for step in (2, 3):
        damage(folder / "checkpoints" / "latest" / str(step))
    with pytest.raises(UserError, match="none of 2 checkpoints can be read"):
        restored(folder)
    aside = folder / "checkpoints" / "damaged"
    assert sorted(p.name for p in aside.iterdir()) == ["latest-2-0", "latest-3-0"]
    assert restored(folder) is None
