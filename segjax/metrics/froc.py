"""Lesion by lesion: which lesions a map of probabilities finds, and how often it is wrong.

Free-response analysis counts found lesions against false ones in an image. `match_lesions` judges
one image, `froc_counts` counts it at thresholds, `statistics.froc` makes the curve of a set.
"""

from typing import NamedTuple

import numpy as np

from segjax.metrics.masks import binary
from segjax.metrics.precision_recall import as_probabilities
from segjax.ops import checks
from segjax.types import Array, Bool, Float, Int

RULES = ("overlap", "centre", "distance")


class LesionMatch(NamedTuple):
    """What `match_lesions` finds in one image; scores have the precision of the map.

    best: of each lesion the score of the best candidate that hits it; -inf where none does.
    false: scores of the candidates that hit no lesion.
    candidates: a record for each candidate, in the order in which its first pixel is met along
        rows: `x` and `y`, its centre in continuous pixels (pixel j covers [j, j + 1)), `area` in
        pixels, its `score`, and `hit`, whether it hits a lesion.
    """

    best: Float[np.ndarray, "lesions"]
    false: Float[np.ndarray, "false"]
    candidates: np.recarray


def match_lesions(
    scores: Float[Array, "h w"],
    labels: Bool[Array, "h w"],
    *,
    rule: str = "overlap",
    least: float = 0.1,
    distance: float = 15.0,
) -> LesionMatch:
    """Which lesions of an image are found, with which score, and which candidates are false.

    Candidates are the 8-connected components of `scores >= least`, each with its largest score and
    its centre sum_i s_i x_i / sum_i s_i; lesions those of `labels`. A candidate hits
    'overlap': every lesion with which it shares a pixel;
    'centre': the lesion that has the pixel of the candidate's centre;
    'distance': every lesion whose centre, the mean of its pixels, is at most `distance` away.

    Candidates that hit a lesion several times count once, by their best score, and none of them is
    false. 'overlap' is lenient: one candidate all over the image finds every lesion. Name the rule
    beside the figure.

    Source: Bunch et al. (1977) for the analysis; 'centre' as in Camelyon16 (Ehteshami Bejnordi et
    al. 2017), a point within the annotated outline.
    Departures: challenges take lists of points, which here come from a map. A candidate does not
    fall apart at higher thresholds, it drops out where its largest score is below.

    Args:
        scores: probabilities in [0, 1].
        labels: bool, or 0 and 1.
        rule: 'overlap', 'centre' or 'distance'.
        least: in (0, 1]; lower scores belong to no candidate. A small one joins neighbours.
        distance: pixels >= 0, of 'distance' only. 15 is the radius of the largest microaneurysm,
            125 um across, in photographs of IDRiD (some 4 um a pixel).

    Returns: a `LesionMatch`.
    Empty cases: no candidates leave every lesion at -inf; no lesions make every candidate false.
    Raises: ValueError on shapes that differ, scores that are nan or outside [0, 1], labels other
        than 0 and 1, and options; TypeError on integer scores or float labels.
    Cost: host, SciPy; O(n), half a second for 12 million pixels; 'distance' also takes the pairs
        of a candidate and a lesion that are so close.
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    checks.check_rank("scores", scores, 2)
    checks.check_shape("labels", labels, scores.shape)
    checks.check_option("rule", rule, RULES)
    least = checks.check_number("least", least, above=0, most=1)
    distance = checks.check_number("distance", distance, least=0)
    scores, labels = as_probabilities("scores", scores), binary("labels", labels)
    lesions, number = _components(labels)
    found, pixels, of = _regions(scores, scores >= least)
    if rule == "overlap":
        pairs = of, lesions.reshape(-1)[pixels] - 1
    elif rule == "centre":
        pixel = np.floor(found.y).astype(np.intp), np.floor(found.x).astype(np.intp)
        pairs = np.arange(len(found)), lesions[pixel] - 1
    else:
        pairs = _neighbours(found, _regions(np.ones_like(scores), labels)[0], distance)
    candidate, lesion = (one[pairs[1] >= 0] for one in pairs)
    best = np.full(number, -np.inf, scores.dtype)
    np.maximum.at(best, lesion, found.score[candidate])
    found.hit[candidate] = True
    return LesionMatch(best, found.score[~found.hit], found)


def froc_counts(
    match: LesionMatch, thresholds: Float[Array, "k"]
) -> tuple[int, Int[np.ndarray, "k"], Int[np.ndarray, "k"]]:
    """Lesions, lesions found and false candidates of an image at thresholds: sums that merge.

    found_t = #{lesions : best >= t}, false_t = #{false candidates : score >= t}. As columns of a
    table of cases, one a threshold, they give `statistics.froc`; images without lesions belong in
    it too.

    Source: as `match_lesions`. Departures: none.

    Args:
        match: from `match_lesions`.
        thresholds: finite. Below the `least` of the match they give the counts of `least`.

    Returns: (number of lesions, found `[k]`, false `[k]`), int64.
    Empty cases: without lesions nothing is found; without candidates nothing is false either.
    Raises: ValueError on thresholds that are not a list of finite numbers.
    Cost: host, NumPy; O(n log n) of n lesions and candidates.
    """
    given = np.asarray(thresholds, np.float64)
    if given.ndim != 1 or not np.all(np.isfinite(given)):
        raise ValueError(f"`thresholds` takes a list of finite numbers, got {thresholds}")
    # In the precision of the scores, as everywhere: 0.7 is above the float32 next to it.
    given = given.astype(match.best.dtype)
    found, false = (
        len(values) - np.searchsorted(np.sort(values), given)
        for values in (match.best, match.false)
    )
    return len(match.best), found, false


def _components(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """8-connected components, numbered from 1 along rows, and how many there are."""
    from scipy import ndimage  # here, for it adds to the time that `import segjax` takes

    return ndimage.label(mask, np.ones((3, 3), bool))


def _regions(scores: np.ndarray, mask: np.ndarray) -> tuple[np.recarray, np.ndarray, np.ndarray]:
    """A record for each component of a mask; the pixels of all, flat, and the component of each."""
    places, number = _components(mask)
    # From here on only pixels of components are looked at: few, and the image is large.
    flat = np.flatnonzero(places).astype(np.int32)
    of = places.reshape(-1)[flat] - 1
    score = scores.reshape(-1)[flat]
    largest = np.zeros(number, scores.dtype)
    np.maximum.at(largest, of, score)
    total = np.bincount(of, score, minlength=number)
    y = flat // np.int32(mask.shape[1])
    x = flat - y * np.int32(mask.shape[1])
    centre_x, centre_y = (
        np.bincount(of, score * (axis + 0.5), minlength=number) / total for axis in (x, y)
    )
    area = np.bincount(of, minlength=number)
    columns = [centre_x, centre_y, area, largest, np.zeros(number, bool)]
    return np.rec.fromarrays(columns, names="x,y,area,score,hit"), flat, of


def _neighbours(
    candidates: np.recarray, lesions: np.recarray, distance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a candidate and a lesion whose centres are at most `distance` apart."""
    from scipy.spatial import KDTree

    if not (len(candidates) and len(lesions)):
        return (np.zeros(0, np.intp),) * 2
    trees = (KDTree(np.stack([one.x, one.y], axis=-1)) for one in (candidates, lesions))
    near = next(trees).sparse_distance_matrix(next(trees), distance, output_type="ndarray")
    return near["i"], near["j"]
