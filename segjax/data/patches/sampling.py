"""Which patches a step takes: a pure function of (seed, step, weights of the candidates)."""

import base64
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from segjax.data.patches.centres import Centres
from segjax.data.patches.weighted import WeightedChoice
from segjax.errors import UserError

# Added to every weight, so that no candidate is lost for good, and their sum is above 0
FLOOR = 1e-6
DRAW, POOL = 0, 1  # first words of the counters: of a step's draw, of a period's pool

Scores = Callable[[object, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Choice:
    """Some patches.

    Attributes:
        photograph: index of the photograph, `[n]`.
        centre: pixel (y, x) in the middle of the patch, `[n, 2]`.
    """

    photograph: np.ndarray
    centre: np.ndarray


class PatchSampler:
    """Draws patches around lesion pixels uniformly, and around healthy ones selectively.

    Healthy candidates are drawn uniformly in the first period. At its end, and at that of every
    other, a pool of them is scored by the network as it is then; until the next end, those of the
    pool are drawn in proportion to w = |label - probability| + 1e-6, their label being 0.

    Source: van Grinsven et al. (2016), Fast Convolutional Neural Network Training Using Selective
    Data Sampling; Sarhan et al. (2019), section 2, which re-scores every 10 epochs.
    Departures: a pool, drawn anew each time, in place of all candidates, unless it is as large as
        these; the floor.

    Args:
        lesions, healthy: candidates of the two kinds.
        period: steps between two scorings; None never scores.
        pool: how many candidates are scored.
        score: `score(state, photograph, centre)` gives the probability of a lesion at each, [n].
    """

    def __init__(
        self,
        lesions: Centres,
        healthy: Centres,
        *,
        period: int | None = None,
        pool: int = 0,
        score: Scores | None = None,
    ):
        self.lesions, self.healthy = lesions, healthy
        self._period, self._size, self._score = period, min(pool, len(healthy)), score
        self._round, self._pool, self._choice = 0, None, None

    def draw(self, seed: int, step: int, lesions: int, healthy: int) -> tuple[Choice, Choice]:
        """The lesion and the healthy patches of a step, the same whoever asks."""
        generator = _generator(seed, DRAW, step)
        positive = generator.integers(len(self.lesions), size=lesions)
        if self._choice is None:
            negative = generator.integers(len(self.healthy), size=healthy)
        else:
            negative = self._pool[self._choice.draw(generator, healthy)]
        return Choice(*self.lesions.at(positive)), Choice(*self.healthy.at(negative))

    def is_due(self, step: int) -> bool:
        """Whether candidates are to be scored before a step."""
        return self._period is not None and step > 0 and step % self._period == 0

    def rescore(self, seed: int, step: int, state: object) -> None:
        """Scores the pool of the period that begins with a step."""
        number = step // self._period
        pool = self._pool_of(seed, number)
        found = np.asarray(self._score(state, *self.healthy.at(pool)), np.float64)
        if not np.isfinite(found).all():
            raise FloatingPointError(
                f"step {step}: the network gives probabilities that are no numbers"
            )
        # Kept in half precision, as a checkpoint keeps them: a resumed run draws the same
        self._take(number, pool, (np.abs(found) + FLOOR).astype(np.float16))

    def _pool_of(self, seed: int, number: int) -> np.ndarray:
        """The candidates of a period's pool, rising."""
        if self._size == len(self.healthy):
            return np.arange(self._size, dtype=np.int32)
        generator = _generator(seed, POOL, number)
        found = generator.choice(len(self.healthy), self._size, replace=False, shuffle=False)
        return np.sort(found).astype(np.int32)

    def _take(self, number: int, pool: np.ndarray, weights: np.ndarray) -> None:
        self._round, self._pool = number, pool
        self._choice = WeightedChoice(weights)

    # --- what a checkpoint keeps ---------------------------------------------------------------

    def remembered(self) -> dict | None:
        """The weights of the running period as JSON; None in the first one."""
        if self._choice is None:
            return None
        data = zlib.compress(self._choice.weights.astype(np.float16).tobytes())
        return {
            "period": self._round,
            "pool": len(self._pool),
            "weights": base64.b64encode(data).decode(),
        }

    def remember(self, content: Mapping | None, seed: int) -> None:
        """Takes back what `remembered` gave; UserError for what cannot be of this sampler."""
        if content is None:
            return
        try:
            data = zlib.decompress(base64.b64decode(content["weights"], validate=True))
            weights, number = np.frombuffer(data, np.float16), int(content["period"])
            if not len(weights) == content["pool"] == self._size:
                raise ValueError(f"{content['pool']} weights, a pool of {self._size}")
            self._take(number, self._pool_of(seed, number), weights)
        except (LookupError, TypeError, ValueError, zlib.error) as error:
            raise UserError(
                f"the weights of the sampler in the checkpoint are damaged, or of another pool: "
                f"{error}"
            ) from error

    @property
    def nbytes(self) -> int:
        """Bytes of the candidates and their weights."""
        own = 0 if self._choice is None else self._choice.nbytes + self._pool.nbytes
        return self.lesions.nbytes + self.healthy.nbytes + own


def _generator(seed: int, kind: int, number: int) -> np.random.Generator:
    """Counter-based: a step is drawn without those before it."""
    # Words of the key are unsigned; the counter keeps the kinds apart
    bits = np.random.Philox(key=[seed % 2**64, number], counter=[0, 0, 0, kind])
    return np.random.Generator(bits)


def inside(choice: Choice, sizes: Sequence[Sequence[int]], patch: Sequence[int]) -> Choice:
    """The same patches, moved so that none reaches beyond its photograph."""
    sizes, patch = np.asarray(sizes)[choice.photograph], np.asarray(patch)
    before = patch // 2
    centre = np.clip(choice.centre, before, np.maximum(before, sizes - (patch - before)))
    return Choice(choice.photograph, centre)


def shifted(choice: Choice, generator: np.random.Generator, most: int) -> Choice:
    """The same patches, each moved by up to `most` pixels along both axes."""
    shift = generator.integers(-most, most, size=choice.centre.shape, endpoint=True)
    return Choice(choice.photograph, choice.centre + shift)
