"""Strict switches for every test: eight devices, no silent promotion, a compilation cache."""

import gc
import os
import pathlib

from tests import compiling

CACHE = pathlib.Path(__file__).resolve().parents[1] / ".cache" / "jax"
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
# All of them: unoptimised programs compile in less time than is worth keeping elsewhere.
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Processes that `tests/train/runs.py` starts are optimised: there bitwise equality is held.
if "--xla_backend_optimization_level" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = compiling.flags(os.environ.get("XLA_FLAGS", ""), optimised=False)

# Tracing makes objects by the million that live on: looking them over took a fifth of all tests.
gc.set_threshold(200_000, 20, 100)

import jax

from segjax.cli import allow_simulated_devices

jax.config.update("jax_num_cpu_devices", 8)
allow_simulated_devices()
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

import pytest

# The files that take minutes come first: one begun last would leave the other cores waiting.
LONGEST = tuple(
    f"tests/{name}.py"
    for name in (
        "train/test_devices",
        "losses/test_every_loss",
        "train/test_interruptions",
        "test_experiments",
        "test_readme",
        "test_notebooks",
        "train/test_volumes",
        "launch/test_population",
        "launch/test_local",
    )
)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    """A folder with the small synthetic set, prepared once."""
    from segjax.data import store
    from tests.train import runs

    folder = tmp_path_factory.mktemp("data")
    store.ensure_prepared(runs.DATA, str(folder))
    return folder


@pytest.fixture(scope="module")
def command_settings():
    """JAX's own promotion rules, under which the command runs and which optax relies on."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="session")
def trained(tmp_path_factory, data_dir):
    """A work folder after two steps of the smallest network. Tests leave its content as it is."""
    from segjax.cli import main
    from tests.train import runs

    folder = tmp_path_factory.mktemp("trained") / "run"
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        assert main(runs.words(folder, data_dir)) == 0
    return folder


@pytest.fixture(scope="module", autouse=True)
def stand_ins(request):
    """Nothing is drawn, but in modules with the mark `pictures`."""
    from tests import pictures

    with pytest.MonkeyPatch.context() as patch:
        if not request.node.get_closest_marker("pictures"):
            pictures.leave_out(patch.setattr)
        yield
