"""Checkpoints in one process: what is kept, what is restored, what a damaged one does."""

import asyncio
import errno
import gc
import json
import shutil
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from segjax.errors import Interrupted, UserError
from segjax.train import checkpoint
from segjax.train import state as states
from segjax.train.checkpoint import Checkpoints, check_fit, load
from segjax.train.loop_state import LoopState
from tests.wrong_input.conftest import snapshot


def made(value):
    params = {"kernel": jnp.full((64, 64), value, jnp.float32)}
    return states.create(params, {}, optax.sgd(0.1))


def damage(folder):
    for file in folder.rglob("*"):
        if file.is_file() and file.stat().st_size:
            file.write_bytes(b"")


@pytest.fixture
def folder(tmp_path):
    """Three saved states, of which the newest two are kept."""
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save("latest", step, made(float(step)), LoopState(evaluated=step))
    return tmp_path


def restored(folder):
    with Checkpoints(folder, keep=2) as checkpoints:
        return checkpoints.restore("latest", made(0.0))


def kernel(state):
    return np.asarray(jax.device_get(state.params["kernel"]))


def test_newest_is_restored_and_only_so_many_are_kept(folder):
    state, memory = restored(folder)
    assert (kernel(state) == 3.0).all() and memory == LoopState(evaluated=3)
    latest = folder / "checkpoints" / "latest"
    assert sorted(p.name for p in latest.iterdir() if p.name.isdigit()) == ["2", "3"]


def test_nothing_saved_gives_nothing(tmp_path):
    assert restored(tmp_path) is None


def test_damaged_newest_is_named_and_moved_aside(folder, capfd):
    damage(folder / "checkpoints" / "latest" / "3")
    state, memory = restored(folder)
    assert (kernel(state) == 2.0).all() and memory == LoopState(evaluated=2)
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


# --- Reading --------------------------------------------------------------------------------------


def made_otherwise(width=64, name="kernel"):
    params = {name: jnp.zeros((64, width), jnp.float32)}
    return states.create(params, {}, optax.sgd(0.1))


def test_reading_changes_nothing(folder):
    """Neither a folder made, nor what a killed save left taken away."""
    (folder / "checkpoints" / "latest" / "4.orbax-checkpoint-tmp-1").mkdir()
    shutil.rmtree(folder / "checkpoints" / "best")
    before = snapshot(folder)
    assert (kernel(load(folder, "latest", made(0.0))) == 3.0).all()
    with pytest.raises(UserError, match="no checkpoint under checkpoints/best"):
        load(folder, "best", made(0.0))
    assert snapshot(folder) == before


@pytest.mark.parametrize(
    "other, words",
    [
        (
            {"width": 65},
            r"kernel is float32\[64, 65\] in the model, float32\[64, 64\] in the check",
        ),
        ({"name": "core"}, r"core is float32\[64, 64\] in the model, nothing in the checkpoint"),
    ],
)
def test_another_model_is_no_damage(folder, capfd, other, words):
    other = made_otherwise(**other)
    before = snapshot(folder)
    message = f"latest/3: model and checkpoint do not fit: params/{words}"
    with pytest.raises(UserError, match=message):
        load(folder, "latest", other)
    with pytest.raises(UserError, match=message):
        check_fit(folder, other)
    with Checkpoints(folder, keep=2) as checkpoints, pytest.raises(UserError, match=message):
        checkpoints.restore("latest", other)
    check_fit(folder, made(0.0))
    assert snapshot(folder) == before and capfd.readouterr() == ("", "")


WAYS = {
    "deleted": lambda file: file.unlink(),
    "empty": lambda file: file.write_bytes(b""),
    "cut": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "zeroed": lambda file: file.write_bytes(bytes(file.stat().st_size)),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_file_of_a_checkpoint_counts_or_is_not_read(folder, capfd, way):
    """Damaged anywhere, the checkpoint is what it was, or the one before is used and it is said."""
    newest = folder / "checkpoints" / "latest" / "3"
    passed_over = set()
    for file in sorted(path for path in newest.rglob("*") if path.is_file()):
        content = file.read_bytes()
        WAYS[way](file)
        before = snapshot(folder)
        value = kernel(load(folder, "latest", made(0.0)))
        assert snapshot(folder) == before
        errors = capfd.readouterr().err
        if (value == 2.0).all():
            passed_over.add(file.name)
            assert errors.startswith(f"segjax: {newest}: damaged") and "; step 2 is used" in errors
            assert errors.count("\n") == 1
        else:
            assert (value == 3.0).all() and errors == ""
        file.write_bytes(content)
    assert passed_over >= {"_METADATA", "manifest.ocdbt", "metadata"}  # tree, arrays, bookkeeping


def test_damaged_best_is_not_replaced_unasked(folder):
    with Checkpoints(folder, keep=2) as checkpoints:
        checkpoints.save("best", 2, made(2.0), LoopState())
    damage(folder / "checkpoints" / "best" / "2")
    before = snapshot(folder)
    with pytest.raises(UserError, match=r"best/2: damaged \(.*--checkpoint latest"):
        load(folder, "best", made(0.0))
    assert snapshot(folder) == before


def test_all_damaged_is_said_to_readers(folder):
    for step in (2, 3):
        damage(folder / "checkpoints" / "latest" / str(step))
    before = snapshot(folder)
    with pytest.raises(UserError, match="latest/3: damaged .*; none of 2 checkpoints can be read"):
        load(folder, "latest", made(0.0))
    assert snapshot(folder) == before


def test_a_changed_bit_in_an_array_is_damage(folder, capfd):
    """The format that arrays are stored in has checksums of its index, not of their bytes."""
    values = jnp.asarray(np.random.default_rng(0).standard_normal((64, 64)), jnp.float32)
    state = made(0.0).replace(params={"kernel": values})
    with Checkpoints(folder, keep=3) as checkpoints:
        checkpoints.save("latest", 4, state, LoopState())
    newest = folder / "checkpoints" / "latest" / "4"
    largest = max((p for p in newest.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content, said = largest.read_bytes(), 0
    for place in range(100, len(content) - 100, 997):
        changed = bytearray(content)
        changed[place] ^= 4
        largest.write_bytes(changed)
        value = kernel(load(folder, "latest", made(0.0)))
        errors = capfd.readouterr().err
        said += "step 3 is used" in errors
        assert (value == (3.0 if errors else np.asarray(values))).all()
    assert said > 10
    largest.write_bytes(content)
    assert (kernel(load(folder, "latest", made(0.0))) == values).all()


@pytest.mark.parametrize(
    "change",
    [
        {"unknown": 1},
        {"evaluated": "x"},
        {"evaluated": None},
        {"best_step": 1.5},
        {"best_value": float("nan")},
        {"best_value": "0.1"},
        {"stopped_early": 0},
        {"pending": None},
        {"pending": {"loss": [1, 2]}},
        {"pending": {"loss": [[1, "2"]]}},
        "{}",
        "[]",
    ],
)
def test_a_wrong_loop_state_is_damage(folder, capfd, change):
    path = folder / "checkpoints" / "latest" / "3" / "loop" / "metadata"
    content = json.loads(path.read_text())
    path.write_text(change if isinstance(change, str) else json.dumps(content | change))
    assert (kernel(load(folder, "latest", made(0.0))) == 2.0).all()
    state, memory = restored(folder)
    assert (kernel(state) == 2.0).all() and memory == LoopState(evaluated=2)
    assert "damaged checkpoint" in capfd.readouterr().err


def test_checkpoints_of_before_have_neither_digest_nor_sums(folder):
    path = folder / "checkpoints" / "latest" / "3" / "loop" / "metadata"
    content = json.loads(path.read_text())
    del content[checkpoint.ARRAYS], content["pending"]
    path.write_text(json.dumps(content))
    state, memory = restored(folder)
    assert (kernel(state) == 3.0).all() and memory == LoopState(evaluated=3)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "Input/output error"),
        OSError(errno.EMFILE, "Too many open files"),
        OSError(errno.ESTALE, "Stale file handle"),
        ValueError("UNAVAILABLE: Error reading local file"),
    ],
)
def test_what_the_machine_cannot_read_now_is_no_damage(folder, monkeypatch, error):
    def failing(*unused):
        raise error

    monkeypatch.setattr(checkpoint, "from_saved", failing)
    before = snapshot(folder)
    with pytest.raises(Interrupted, match="latest/3: cannot be read now .*nothing was changed"):
        restored(folder)
    assert not (folder / "checkpoints" / "damaged").exists()
    with pytest.raises(Interrupted):
        load(folder, "latest", made(0.0))
    assert {k: v for k, v in snapshot(folder).items() if "best" not in str(k)} == {
        k: v for k, v in before.items() if "best" not in str(k)
    }


def test_a_path_that_is_no_text_is_no_damage(folder, tmp_path):
    odd = tmp_path / "\udcc3w"
    shutil.copytree(folder / "checkpoints", odd / "checkpoints")
    with pytest.raises(UserError, match="no text in the locale of this shell; set PYTHONUTF8=1"):
        load(odd, "latest", made(0.0))


@pytest.mark.parametrize("name", ["²", "007", "-1", "3.tmp"])
def test_other_names_are_no_steps(folder, name):
    (folder / "checkpoints" / "latest" / name).mkdir()
    assert (kernel(load(folder, "latest", made(0.0))) == 3.0).all()


def test_a_signal_while_reading_ends_the_process():
    """Readings that a signal has interrupted may never end: waiting for them would hang."""

    def interrupt():
        raise KeyboardInterrupt

    async def read():
        await asyncio.Future()

    loop = checkpoint._Loop()
    loop.call_later(0.05, interrupt)
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(read())
    began = time.monotonic()
    loop.close()
    assert loop.is_closed() and time.monotonic() - began < 10 * checkpoint.PATIENCE


def test_a_signal_in_one_of_many_readings_is_raised_once_and_not_printed(caplog):
    async def interrupt():
        raise KeyboardInterrupt

    async def read():
        await asyncio.gather(interrupt(), asyncio.Future())

    loop = checkpoint._Loop()
    with pytest.raises(KeyboardInterrupt):
        try:
            loop.run_until_complete(read())
        finally:
            loop.close()
    gc.collect()  # Python tells of a task's error when it deletes the task
    assert loop.is_closed() and not caplog.records


def test_readings_beside_a_failed_one_are_ended_in_silence(caplog):
    async def fail():
        await asyncio.sleep(0.05)
        raise ValueError("damaged")

    async def read():
        others = [asyncio.ensure_future(fail()) for _ in range(3)]
        await asyncio.sleep(0)
        assert others
        raise ValueError("damaged first")

    loop = checkpoint._Loop()
    with pytest.raises(ValueError, match="first"):
        loop.run_until_complete(read())
    loop.close()
    gc.collect()
    assert loop.is_closed() and not caplog.records
