"""Traces of a few training steps, for TensorBoard or Perfetto."""

import pathlib

import jax

SKIPPED = 10  # steps: compilation and warm-up stay out, where the run is long enough


class Profile:
    """Traces `length` of the `left` steps into a folder; a context manager, leaving ends it.

    A shorter run is traced to its end, one that is interrupted up to there.
    """

    def __init__(self, folder: pathlib.Path, length: int, left: int):
        self.folder, length = folder, min(length, left)
        # A short run skips fewer steps, rather than be traced over fewer
        self._first = min(SKIPPED, left - length)
        self._behind = self._first + length
        self._steps = 0
        self._running = False

    def __enter__(self) -> "Profile":
        return self

    def __exit__(self, *unused) -> None:
        self._end()

    def before_step(self) -> None:
        """Begins or ends the trace; called before every step."""
        if self._steps == self._behind:
            self._end()
        elif self._steps == self._first:
            jax.profiler.start_trace(str(self.folder))
            self._running = True
        self._steps += 1

    def _end(self) -> None:
        if self._running:
            self._running = False
            jax.profiler.stop_trace()
