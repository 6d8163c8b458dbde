"""How well maps of probabilities find small lesions: columns of counts, and what they come to.

A row holds, for each threshold t, the pixels with a probability of at least t that are lesion
(`tp_t`) and that are not (`fp_t`); lesions found by candidates with a score of at least t
(`found_t`), and candidates that hit none (`false_t`). Sums of rows are the counts of all pixels
pooled, so that intervals come from resampled photographs, healthy ones among them.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from segjax.metrics import counts_from_histogram, froc_counts, statistics
from segjax.tasks.metric import Metric

GREY = tuple(k / 32 for k in range(33))  # grey levels 0, 8, …, 256 of 256
TENTHS = tuple(k / 10 for k in range(11))
THRESHOLDS = tuple(sorted({*GREY, *TENTHS}))
# Of lesions, by their log-odds: the largest probability of a false one is often next to 1
SCORES = (*(1 / (1 + math.exp(-k / 4)) for k in range(-9, 67)), 1.0)
EVERYWHERE = 1.0  # the probability of the baseline
COVERED = 0.1  # share of pixels in candidates from which on FROC is remarked on


def names(kind: str, thresholds: Sequence[float]) -> tuple[str, ...]:
    """The columns of a kind of counts: tp, fp of pixels; found, false of lesions."""
    return tuple(f"{kind}_{threshold:.8g}" for threshold in thresholds)


PIXELS = ("positives", "pixels", *names("tp", THRESHOLDS), *names("fp", THRESHOLDS))
LESIONS = ("lesions", *names("found", SCORES), *names("false", SCORES))


def pixel_columns(histogram: np.ndarray) -> dict[str, float]:
    """The columns of one photograph, from the histogram of its probabilities."""
    counts = counts_from_histogram(histogram, THRESHOLDS)
    row = {"positives": float(histogram[:, 1].sum()), "pixels": float(histogram.sum())}
    for kind, place in (("tp", 0), ("fp", 1)):
        values = counts[:, place].astype(float)
        row |= dict(zip(names(kind, THRESHOLDS), values.tolist(), strict=True))
    return row


def baseline_columns(row: Mapping[str, float]) -> dict[str, float]:
    """Those of calling every pixel a lesion, of the photograph of a row."""
    found = {name: row[name] for name in ("positives", "pixels")}
    found |= dict.fromkeys(names("tp", THRESHOLDS), row["positives"])
    return found | dict.fromkeys(names("fp", THRESHOLDS), row["pixels"] - row["positives"])


def lesion_columns(match) -> dict[str, float]:
    """The columns of lesions of one photograph (`metrics.match_lesions`)."""
    lesions, found, false = froc_counts(match, SCORES)
    return {
        "lesions": float(lesions),
        **dict(zip(names("found", SCORES), np.asarray(found, float).tolist(), strict=True)),
        **dict(zip(names("false", SCORES), np.asarray(false, float).tolist(), strict=True)),
    }


def _at(threshold: float) -> tuple[str, ...]:
    return "positives", f"tp_{threshold:g}", f"fp_{threshold:g}"


def of(what: str) -> tuple[Metric, ...]:
    """The metrics; `what` is counted: pixels, patches."""
    return (
        Metric(
            "auc_pr",
            ("positives", *names("tp", GREY), *names("fp", GREY)),
            statistics.pooled_average_precision,
            "AUC-PR",
            description=f"Area under the precision-recall curve of all {what} pooled, at the 33 "
            "thresholds of the IDRiD challenge (challenge33).",
        ),
        Metric(
            "auc_pr_eleven",
            ("positives", *names("tp", TENTHS), *names("fp", TENTHS)),
            statistics.pooled_average_precision_eleven,
            "AUC-PR (eleven)",
            reported=False,
            description="The same at 11 thresholds, as some later papers print it; not comparable.",
        ),
        Metric(
            "f1",
            _at(0.5),
            statistics.pooled_f1,
            "F1",
            description=f"Of all {what} pooled, at a probability of 0.5.",
        ),
        Metric(
            "precision",
            _at(0.5),
            statistics.pooled_precision,
            "precision",
            description=f"Share of {what} with a probability of 0.5 that are lesion.",
        ),
        Metric(
            "recall",
            _at(0.5),
            statistics.pooled_recall,
            "recall",
            description=f"Share of lesion {what} that have a probability of 0.5; 1 of the "
            "baseline, which says lesion everywhere.",
        ),
    )


def of_lesions(rule: str) -> tuple[Metric, ...]:
    """The metrics of lesions found, by the name of the rule for a hit."""
    columns = ("lesions", *names("found", SCORES), *names("false", SCORES))
    return (
        Metric(
            "froc",
            columns,
            statistics.froc,
            "FROC",
            description=f"Mean share of lesions found ({rule}) at 1/8 to 8 false ones a "
            f"photograph, by their largest probability at {len(SCORES)} thresholds.",
        ),
        Metric(
            "froc_camelyon",
            columns,
            statistics.froc_camelyon,
            "FROC (1/4 to 8)",
            reported=False,
            description="The same at 1/4 to 8 false ones a photograph.",
        ),
    )


def remarks(columns: Mapping[str, np.ndarray]) -> list[str]:
    """What keeps figures from being read as they look."""
    positives = np.asarray(columns.get("positives", ()), float)
    lines = []
    if positives.size and not positives.any():
        lines.append("No photograph has a lesion: precision and recall are not defined.")
    elif positives.size and positives.all():
        lines.append("Every photograph has lesions: false alarms of healthy ones are not counted.")
    if positives.size and not np.any(columns["tp_0.5"] + columns["fp_0.5"]):
        lines.append("No pixel has a probability of 0.5 or more.")
    if np.any(columns.get("lesions", ())):
        share = np.sum(columns["tp_0.1"] + columns["fp_0.1"]) / np.sum(columns["pixels"])
        if share >= COVERED:
            lines.append(
                f"Candidates (a probability of 0.1 or more) cover {100 * share:.0f} % of all "
                "pixels: a few that reach everywhere find every lesion, and FROC says little."
            )
    return lines


def columns_of_rows(rows: Sequence[Mapping[str, float]]) -> dict[str, np.ndarray]:
    """Columns, of a row for each photograph."""
    return {name: np.array([row[name] for row in rows], np.float64) for name in rows[0]}
