import jax
import pytest

from segjax.train.profiling import Profile


@pytest.fixture
def calls(monkeypatch):
    """What the profiler was asked, in order, `step` between."""
    made = []
    monkeypatch.setattr(jax.profiler, "start_trace", lambda folder: made.append("start"))
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: made.append("stop"))
    return made


@pytest.mark.parametrize(
    "length, left, before, traced",
    [
        (3, 100, 10, 3),
        (5, 12, 7, 5),  # the last five
        (50, 12, 0, 12),  # longer than the run: all of it
        (4, 4, 0, 4),
        (2, 1, 0, 1),
        (0, 5, 5, 0),
        (3, 0, 0, 0),
    ],
)
def test_a_profile_ends_with_the_run_at_the_latest(calls, tmp_path, length, left, before, traced):
    with Profile(tmp_path, length, left) as profile:
        for _ in range(left):
            profile.before_step()
            calls.append("step")
    wanted = ["step"] * before
    if traced:
        wanted += ["start", *["step"] * traced, "stop"]
    assert calls == wanted + ["step"] * (left - before - traced)


def test_a_profile_ends_where_the_run_is_interrupted(calls, tmp_path):
    with pytest.raises(KeyboardInterrupt), Profile(tmp_path, 50, 12) as profile:
        profile.before_step()
        raise KeyboardInterrupt
    assert calls == ["start", "stop"]
