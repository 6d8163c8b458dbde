"""The report of a pipeline: a table of rows, how rows differ, what was capped, curves."""

import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from segjax import files
from segjax.metrics import average_precision_from_histogram
from segjax.pipelines.definition import Definition
from segjax.pipelines.evaluation import CHOOSING, Result, RowResult
from segjax.report.text import table
from segjax.stats.resampling import crossed_bootstrap_interval, paired_statistic_test
from segjax.tasks.lesions import metrics
from segjax.tasks.lesions.pictures import curve_figure, found_figure
from segjax.tasks.metric import Metric

RESAMPLES = 2000
CONVENTIONS = ("challenge33", "exact", "eleven")


def write(
    folder: pathlib.Path,
    definition: Definition,
    split: str,
    result: Result,
    thresholds: Mapping[str, float],
) -> dict[str, dict[str, float]]:
    """Writes metrics_SPLIT.json, rows_SPLIT.csv, photographs_SPLIT.csv, report_SPLIT.md, figures.

    Args:
        folder: of the pipeline.
        definition: of it.
        split: that was evaluated.
        result: of it.
        thresholds: of each row, chosen on the validation split.

    Returns: the metrics of each row.
    """
    rows = {name: summary(row, thresholds[name]) for name, row in result.rows.items()}
    intervals = {name: interval(row) for name, row in result.rows.items()}
    differences = [difference(result, *pair) for pair in definition.compared]
    content = {
        "split": split,
        "photographs": list(result.names),
        "rows": {name: _plain(values) for name, values in rows.items()},
        "intervals": {name: [_number(v) for v in pair] for name, pair in intervals.items()},
        "differences": [_plain(d) for d in differences],
        "thresholds": _plain(thresholds),
        "thresholds_from": CHOOSING,
        "costs": dict(zip(result.names, result.costs, strict=True)),
    }
    text = "\n".join(_text(definition, split, result, rows, intervals, differences, thresholds))
    files.write_text(folder / f"rows_{split}.csv", _csv(rows))
    files.write_text(folder / f"photographs_{split}.csv", _photographs(result))
    figure = curve_figure({name: row.columns for name, row in result.rows.items()})
    files.write_figure(folder / "figures" / f"precision_recall_{split}.png", figure)
    files.write_figure(
        folder / "figures" / f"found_{split}.png",
        found_figure({name: row.columns for name, row in result.rows.items()}),
    )
    files.write_text(folder / f"report_{split}.md", text + "\n")
    # Last: who finds it finds what belongs to it
    files.write_text(folder / f"metrics_{split}.json", json.dumps(content, indent=1) + "\n")
    return rows


def summary(row: RowResult, threshold: float) -> dict[str, float]:
    """Every figure of a row, at 0.5 and at its threshold."""
    found = {
        f"auc_pr_{name}": float(average_precision_from_histogram(row.pooled, convention=name))
        for name in CONVENTIONS
    }
    found |= row.at(0.5)
    best = row.at(threshold) if np.isfinite(threshold) else dict.fromkeys(row.at(0.5), np.nan)
    found |= {f"{name}_at_best": value for name, value in best.items()}
    found["best_threshold"] = threshold
    for metric in metrics.of_lesions(""):
        found[metric.name] = metric.of(row.columns)
    return found


def _headline() -> Metric:
    return metrics.of("pixels")[0]


def _columns(row: RowResult) -> list[np.ndarray]:
    return [np.asarray(row.columns[name])[None] for name in _headline().columns]


def interval(row: RowResult) -> tuple[float, float]:
    """95 % interval of the AUC-PR (challenge33), photographs resampled."""
    return crossed_bootstrap_interval(
        *_columns(row), statistic=_headline().statistic, resamples=RESAMPLES
    )


def difference(result: Result, better: str, other: str) -> dict[str, object]:
    """How much larger the AUC-PR of one row is, with its interval, and p under exchanges."""
    metric = _headline()
    one, two = (_columns(result.rows[name]) for name in (better, other))
    both = len(one)

    def statistic(*columns: np.ndarray) -> np.ndarray:
        return metric.statistic(*columns[:both]) - metric.statistic(*columns[both:])

    low, high = crossed_bootstrap_interval(*one, *two, statistic=statistic, resamples=RESAMPLES)
    return {
        "row": better,
        "other": other,
        "difference": float(statistic(*(c[0] for c in [*one, *two]))),
        "low": low,
        "high": high,
        "p": paired_statistic_test(one, two, metric.statistic, resamples=RESAMPLES),
    }


# --- text -----------------------------------------------------------------------------------------


def _text(definition, split, result, rows, intervals, differences, thresholds) -> list[str]:
    with_lesions = sum(not healthy for healthy in result.healthy)
    lines = [
        f"# Two stages: {split}",
        "",
        f"{len(result.names)} photographs, {with_lesions} of them not healthy; all their pixels "
        "pooled.",
        "",
        *table(_header(), [_line(definition, name, rows[name], intervals[name]) for name in rows]),
        *[_reference(name, f) for name, f in definition.paper.items() if name not in rows],
        "",
        "AUC-PR: area under the curve of precision and recall, by the IDRiD challenge's convention "
        "(33 thresholds, challenge33), with the 95 % interval over photographs drawn again; "
        "`exact` takes every threshold; `eleven` has 11 thresholds, as some later papers print it, "
        "and is comparable with neither. Figures in brackets are the paper's own, on its "
        "own test photographs.",
        "F1, precision, recall: at a probability of 0.5; `best` at the threshold of the largest "
        f"F1 of the {CHOOSING} split"
        + (", which is this split: it flatters." if split == CHOOSING else "."),
        f"FROC: mean share of lesions found (hit rule: {definition.hit}) at 1/8 to 8 false ones a "
        "photograph, and at 1/4 to 8.",
        "",
        "## How rows differ",
        "",
        *_differences(differences),
        "",
        "## What it took",
        "",
        *_costs(definition, result),
        "",
        f"![Precision and recall](figures/precision_recall_{split}.png)",
        f"![Lesions found](figures/found_{split}.png)",
    ]
    if with_lesions < 10:
        lines.insert(
            4,
            f"With {with_lesions} photographs that have lesions no order of rows is decided: "
            "intervals say how much chance there is in it.\n",
        )
    return lines


def _header() -> list[str]:
    return [
        *("row", "AUC-PR (95 %)", "exact", "eleven", "F1", "precision", "recall"),
        *("best F1", "threshold", "FROC", "1/4 to 8"),
    ]


def _line(definition: Definition, name: str, values: Mapping, bounds: Sequence[float]) -> list[str]:
    paper = definition.paper.get(name, {})

    def shown(key: str, own: str) -> str:
        return f"{_figure(values[key])}" + (f" [{paper[own]:.4f}]" if own in paper else "")

    low, high = bounds
    return [
        name,
        f"{shown('auc_pr_challenge33', 'auc_pr')} ({_figure(low)} to {_figure(high)})",
        _figure(values["auc_pr_exact"]),
        _figure(values["auc_pr_eleven"]),
        *(shown(key, key) for key in ("f1", "precision", "recall")),
        _figure(values["f1_at_best"]),
        _figure(values["best_threshold"]),
        _figure(values["froc"]),
        _figure(values["froc_camelyon"]),
    ]


def _reference(name: str, figures: Mapping[str, float]) -> str:
    cells = [name, f"[{figures['auc_pr']:.4f}]" if "auc_pr" in figures else ""]
    return "| " + " | ".join([*cells, *[""] * (len(_header()) - len(cells))]) + " |"


def _differences(differences: Sequence[Mapping]) -> list[str]:
    lines = [
        [
            f"{d['row']} − {d['other']}",
            f"{d['difference']:+.4f} ({d['low']:+.4f} to {d['high']:+.4f})",
            f"{d['p']:.3f}",
        ]
        for d in differences
    ]
    found = table(["AUC-PR", "difference (95 %)", "p"], lines)
    return [
        *found,
        "",
        "Photographs are drawn again for the intervals, and exchanged between rows for p, which is "
        "not corrected for their number.",
    ]


def _costs(definition: Definition, result: Result) -> list[str]:
    stages = (*definition.proposals, *definition.refinements)
    rows = []
    for name, cost in zip(result.names, result.costs, strict=True):
        seconds = [f"{cost['seconds'].get(stage, 0):.1f}" for stage in stages]
        patches = [f"{cost[s]['patches']}" if s in cost else "" for s in definition.refinements]
        left = [cost[s]["left"] for s in definition.refinements if s in cost]
        candidates = [cost[s]["candidates"] for s in definition.refinements if s in cost]
        last = [str(max(candidates, default=0)), *patches, str(max(left, default=0))]
        rows.append([name, *seconds, *last])
    header = ["photograph", *(f"{stage}, s" for stage in stages), "candidates"]
    header += [*(f"patches of {stage}" for stage in definition.refinements), "left out"]
    capped = [row[0] for row in rows if row[-1] != "0"]
    lines = table(header, rows)
    strides = " and ".join(map(str, definition.strides))
    lines += ["", f"Patches lie {strides} pixels apart."]
    if capped:
        lines.append(
            f"At most {definition.most_patches} patches a photograph were judged: on "
            f"{len(capped)} of {len(rows)} photographs candidates were left out, whose refined "
            f"value is 0 ({', '.join(capped[:5])}{', …' if len(capped) > 5 else ''})."
        )
    return lines


def _figure(value: float) -> str:
    return f"{value:.4f}" if np.isfinite(value) else "–"


def _csv(rows: Mapping[str, Mapping[str, float]]) -> str:
    names = list(next(iter(rows.values())))
    lines = [",".join(["row", *names])]
    lines += [",".join([name, *(f"{v[n]:.6g}" for n in names)]) for name, v in rows.items()]
    return "\n".join(lines) + "\n"


def _photographs(result: Result) -> str:
    """Of each row and photograph the pixels that are lesion, found and false at 0.5, its FROC."""
    shown = ("positives", "tp_0.5", "fp_0.5", "lesions", "found_0.5", "false_0.5")
    lines = [",".join(["row", "image", "healthy", *shown])]
    for name, row in result.rows.items():
        for index, photograph in enumerate(result.names):
            values = (f"{row.columns[column][index]:.6g}" for column in shown)
            lines.append(",".join([name, photograph, str(int(result.healthy[index])), *values]))
    return "\n".join(lines) + "\n"


def _plain(values: Mapping) -> dict:
    return {name: _number(value) for name, value in values.items()}


def _number(value: object) -> object:
    """For JSON, which has no nan: null is what is not defined."""
    return None if isinstance(value, float) and not np.isfinite(value) else value
