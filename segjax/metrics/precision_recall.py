"""Precision and recall from a fine histogram of scores: pixels by the million, counted once.

A histogram stands for all pixels of an image or of a set: it adds up, and every convention by which
papers compute the area under the curve is read off it. `ranking` sorts or compares the scores.
"""

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from segjax.metrics.masks import binary
from segjax.metrics.ranking import average_precision_from_counts, precision_recall_from_counts
from segjax.ops import checks
from segjax.ops.classes import check_where
from segjax.types import Array, Bool, Float, Int

# 5 * 2^14: every grey level k/256 and every tenth is the lower edge of a bin, in float32 too.
BINS = 81_920
CONVENTIONS = ("exact", "challenge33", "eleven")
GREY_LEVELS = tuple(k / 32 for k in range(33))
TENTHS = tuple(k / 10 for k in range(11))
CHUNK = 2**18  # pixels at a time: intermediate arrays stay in the processor's cache


def score_histogram(
    scores: Float[Array, "*s"],
    labels: Bool[Array, "*s"],
    *,
    where: Bool[Array, "*s"] | None = None,
) -> Int[np.ndarray, "bins+1 2"]:
    """Numbers of negative and of positive pixels in bins of their score: sums that merge.

    H[k, c] = #{i : floor(81920 s_i) = k, label_i = c}, k = 0..81920; a score of 1 has a bin of its
    own. Added over images and devices it gives precision, recall and their areas
    (`average_precision_from_histogram`) without keeping or sorting pixels.

    Source: the definition. 81920 = 10 * 2^13, so that every grey level k / 256 and every tenth, the
    thresholds that papers use, is exactly the edge of a bin.
    Departures: the product is rounded as float32 where scores are (or of half precision), so one
    just below an edge, by less than a hundredth of a bin, may count as on it. Grey levels are kept
    apart exactly; the float32 next to a tenth is that tenth, as in `threshold_counts`.

    Args:
        scores: probabilities in [0, 1], any shape.
        labels: bool, or 0 and 1, of the same shape.
        where: True counts; other entries may hold anything.

    Returns: `[81921, 2]` int64, negatives and positives.
    Empty cases: nothing that counts gives zeros.
    Raises: ValueError on shapes that differ, scores that are nan or outside [0, 1], labels other
        than 0 and 1; TypeError on integer scores, float labels, or a `where` that is not boolean.
    Cost: host, NumPy; O(n) time, some 5 ns a pixel, and some 10 MB beside the arrays (and a copy of
        those that are not contiguous).
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    checks.check_floating("scores", scores)
    checks.check_shape("labels", labels, scores.shape)
    if where is not None:
        where = np.asarray(where)
        check_where(where, scores.shape)
        where = where.reshape(-1)
    scores, labels = scores.reshape(-1), labels.reshape(-1)
    binary("labels", labels[:0])  # the dtype, which must be right where nothing counts too
    found = np.zeros(2 * (BINS + 1), np.int64)
    for start in range(0, scores.size, CHUNK):
        part = slice(start, start + CHUNK)
        some, positive = scores[part], labels[part]
        if where is not None:
            some, positive = some[where[part]], positive[where[part]]
        some = as_probabilities("scores", some)
        # Truncated towards 0, which for numbers >= 0 is their floor
        place = (some * some.dtype.type(BINS)).astype(np.int64)
        place = 2 * place + binary("labels", positive)
        found += np.bincount(place, minlength=found.size)
    return found.reshape(-1, 2)


def counts_from_histogram(
    histogram: Int[Array, "*n bins+1 2"], thresholds: Float[Array, "k"]
) -> Int[np.ndarray, "*n k 4"]:
    """Right and wrong pixels of `score >= threshold` at thresholds on edges of bins.

    tp_t = sum_(k >= 81920 t) H[k, 1], fp_t likewise of H[k, 0]; fn_t and tn_t are the others. Of
    them `precision_recall_from_counts` and `dice_from_counts` (F1) make rates.

    Source: the definitions. Departures: none.

    Args:
        histogram: from `score_histogram`, or sums of such.
        thresholds: rising, in [0, 1], each a multiple of 1 / 81920: grey levels of 256 and tenths
            are.

    Returns: `[*n, k, 4]`, tp, fp, fn, tn on the last axis; int64 (float64 of a float histogram).
    Empty cases: an empty histogram gives zeros.
    Raises: ValueError on a wrong shape, on counts that are nan or below 0, and on thresholds that
        do not rise, lie outside [0, 1] or within a bin.
    Cost: host, NumPy; one pass over the histogram.
    """
    histogram = _checked(histogram)
    edges = _edges(thresholds)
    # Sums from each threshold to the next, then from the highest downwards
    between = np.add.reduceat(histogram, edges, axis=-2)
    above = np.cumsum(between[..., ::-1, :], axis=-2)[..., ::-1, :]
    below = histogram.sum(axis=-2)[..., None, :] - above
    return np.stack([above[..., 1], above[..., 0], below[..., 1], below[..., 0]], axis=-1)


def average_precision_from_histogram(
    histogram: Int[Array, "*n bins+1 2"], *, convention: str = "exact"
) -> Float[np.ndarray, "*n"]:
    """Area under the precision-recall curve, by the convention of one's choice; 1 is perfect.

    exact: sum_k (R_k - R_(k+1)) P_k over all edges of bins: `average_precision`, but for scores of
        one bin (1 / 81920 wide), which are one step.
    challenge33: grey levels 0, 8, ..., 256, which is probability k / 32, k = 0..32; straight lines,
        level from the last point at which anything is predicted to recall 0: the leaderboard of
        IDRiD.
    eleven: probability k / 10, k = 0..10; straight lines; precision 1 where nothing is predicted.

    `eleven` is another quantity than the challenge's and must not stand beside it: its line to
    precision 1 at recall 0 gives a map that is 0 everywhere an area of (1 + prevalence) / 2, to
    which the other two give the prevalence.

    Source: exact: Zhu (2004). challenge33: Porwal et al. (2020), IDRiD: Diabetic Retinopathy -
    Segmentation and Grading Challenge, section 6. eleven: the published code of M2MRF (Liu et al.
    2023), by which later papers on IDRiD and DDR are computed.
    Departures: challenge33: that the points are joined by straight lines is the likely reading.
    eleven: `score >= threshold`, where that code takes `>`: the same but for scores equal to a
    threshold, so that a map of exact zeros gets 0 there. From a score of 1 the line to (0, 1) is
    drawn too, as `>` does.

    Args:
        histogram: from `score_histogram`, added over the images (pixels pooled), or one for each
            of several sets along the leading axes.
        convention: 'exact', 'challenge33' or 'eleven'.

    Returns: `[*n]` float64.
    Empty cases: nan where there is no positive pixel. A set whose images have none but some counts
        their false positives. No negative pixel gives 1.
    Raises: ValueError on a wrong shape or option, and on counts that are nan or below 0.
    Cost: host, NumPy; one pass over the histogram, with 'exact' some 4 ms for each.
    """
    checks.check_option("convention", convention, CONVENTIONS)
    histogram = _checked(histogram)
    if convention == "challenge33":
        counts = counts_from_histogram(histogram, GREY_LEVELS)
        return average_precision_from_counts(counts, rule="trapezoid")
    if convention == "eleven":
        return average_precision_of_eleven(counts_from_histogram(histogram, TENTHS))
    # One at a time: the counts at all edges take four times the room of a histogram.
    areas = np.empty(histogram.shape[:-2])
    for place in np.ndindex(*areas.shape):
        areas[place] = average_precision_from_counts(_all_counts(histogram[place]))
    return areas


def best_f1_threshold(histogram: Int[Array, "bins+1 2"]) -> float:
    """The threshold at which F1 of the pooled pixels is largest; the highest of equal ones.

    argmax_t 2 tp_t / (2 tp_t + fp_t + fn_t), t over the edges of bins, `score >= t` being positive.

    Chosen on the pixels that it is judged on it flatters: choose it on a validation set.

    Source: the definition. Departures: none.

    Args:
        histogram: from `score_histogram`, added over the images.

    Returns: a multiple of 1 / 81920 in [0, 1], on which `counts_from_histogram` takes counts.
    Empty cases: nan without a positive pixel.
    Raises: ValueError on a wrong shape, and on counts that are nan or below 0.
    Cost: host, NumPy; some 2 ms.
    """
    histogram = _checked(histogram)
    checks.check_rank("histogram", histogram, 2)
    tp, fp, fn, _ = _all_counts(histogram).T
    if not tp[0] > 0:
        return float("nan")
    f1 = 2 * tp / (2 * tp + fp + fn)
    return float(np.flatnonzero(f1 == f1.max())[-1] / BINS)


def average_precision_of_eleven(counts: Float[Array, "*n 11 4"]) -> Float[np.ndarray, "*n"]:
    """The area of convention 'eleven' of `average_precision_from_histogram`.

    Args:
        counts: tp, fp, fn, tn at the thresholds 0, 0.1, ..., 1.

    Returns: `[*n]` float64; nan where nothing is positive.
    Raises: ValueError on a wrong shape.
    """
    counts = np.asarray(counts, np.float64)
    checks.check_shape("counts", counts, (*counts.shape[:-2], len(TENTHS), 4))
    precision, recall = precision_recall_from_counts(counts)
    precision = np.where(counts[..., 0] + counts[..., 1] == 0, 1, precision)
    # Beyond the highest threshold nothing is predicted: recall 0, precision 1.
    beyond = np.ones_like(precision[..., :1])
    heights = (precision + np.concatenate([precision[..., 1:], beyond], axis=-1)) / 2
    return np.sum(-np.diff(recall, axis=-1, append=0) * heights, axis=-1)


def as_probabilities(name: str, scores: ArrayLike) -> Float[np.ndarray, "*s"]:
    """Scores as float32, or float64 where they are; ValueError if one is nan or outside [0, 1]."""
    scores = np.asarray(scores)
    checks.check_floating(name, scores)
    if scores.dtype != np.float64:
        scores = scores.astype(np.float32, copy=False)
    if scores.size:
        least, most = scores.min(), scores.max()  # a nan is both
        if not (least >= 0 and most <= 1):
            wrong = most if least >= 0 else least
            raise ValueError(f"`{name}` takes probabilities in [0, 1], got {wrong}")
    return scores


def _checked(histogram: ArrayLike) -> np.ndarray:
    """A histogram, or several, in int64, or in float64 where they are floating point."""
    histogram = np.asarray(histogram)
    lead = histogram.shape[:-2]
    checks.check_shape("histogram", histogram, (*lead, BINS + 1, 2))
    # Not as they come: differences of unsigned integers wrap round.
    whole = jnp.issubdtype(histogram.dtype, jnp.integer)
    histogram = histogram.astype(np.int64 if whole else np.float64, copy=False)
    if not np.all(histogram >= 0):
        wrong = histogram[~(histogram >= 0)][0]
        raise ValueError(f"`histogram` takes numbers >= 0, got {wrong}")
    return histogram


def _edges(thresholds: ArrayLike) -> np.ndarray:
    """The bin that begins at each threshold."""
    given = np.asarray(thresholds, np.float64)
    places = np.rint(given * BINS)
    # Within a hundredth of a bin: a tenth in float32 is some thousandths off.
    on_edges = given.ndim == 1 and given.size and np.all(np.abs(given * BINS - places) < 0.01)
    if not on_edges or places[0] < 0 or places[-1] > BINS or np.any(np.diff(places) <= 0):
        raise ValueError(
            f"`thresholds` takes rising multiples of 1/{BINS} in [0, 1], got {thresholds}"
        )
    return places.astype(np.int64)


def _all_counts(histogram: np.ndarray) -> np.ndarray:
    """tp, fp, fn, tn at every edge of one histogram, float64 `[bins+1, 4]`."""
    above = np.cumsum(histogram[::-1].astype(np.float64), axis=0)[::-1]
    below = above[0] - above
    return np.stack([above[:, 1], above[:, 0], below[:, 1], below[:, 0]], axis=-1)
