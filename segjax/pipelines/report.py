"""The report of a pipeline: a table of rows, how rows differ, what was capped, curves."""

import csv
import io
import json
import pathlib
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from segjax import files
from segjax.metrics import average_precision_from_histogram
from segjax.pipelines.definition import Definition
from segjax.pipelines.evaluation import CHOOSING, Result, RowResult
from segjax.report.comparison import FEWEST
from segjax.report.text import EACH_ROW, UNKNOWN, counted, few, table
from segjax.stats.resampling import crossed_bootstrap_interval, paired_statistic_test
from segjax.tasks.lesions import metrics
from segjax.tasks.lesions.pictures import curve_figure, found_figure
from segjax.tasks.metric import Metric

RESAMPLES = 2000
CONVENTIONS = ("challenge33", "exact", "eleven")
SHOWN = 5  # names of photographs
FEW_LESIONS = 10  # photographs with lesions below which no order of rows is decided


def write(
    folder: pathlib.Path,
    definition: Definition,
    result: Result,
    thresholds: Mapping[str, float],
    networks: Mapping[str, str],
) -> dict[str, dict[str, float]]:
    """Writes metrics_SPLIT.json, rows_SPLIT.csv, photographs_SPLIT.csv, report_SPLIT.md, figures.

    Args:
        folder: of the pipeline.
        definition: of it.
        result: of a split.
        thresholds: of each row, chosen on the validation split.
        networks: what the maps of each row come from (`identity.of_row`).

    Returns: the metrics of each row.
    """
    split = result.split
    rows = {name: summary(row, thresholds[name]) for name, row in result.rows.items()}
    intervals = {name: interval(result, name) for name in result.rows}
    differences = [difference(result, *pair) for pair in definition.compared]
    content = {
        "split": split,
        "photographs": list(result.names),
        "rows": {name: _plain(values) for name, values in rows.items()},
        "intervals": {name: [_number(v) for v in pair] for name, pair in intervals.items()},
        "differences": [_plain(d) for d in differences],
        "thresholds": _plain(thresholds),
        "thresholds_from": CHOOSING,
        "networks": dict(networks),
        "capped": capped(definition, result),
        "costs": dict(zip(result.names, result.costs, strict=True)),
    }
    columns = {name: row.columns for name, row in result.rows.items()}
    figures = {"precision_recall": curve_figure(columns), "found": found_figure(columns)}
    lines = _text(definition, result, rows, intervals, differences)
    for name, figure in figures.items():
        lines += ["", f"![{name}](figures/{name}_{split}.png)", "", figure.get_label()]
    text = "\n".join(lines)
    files.write_text(folder / f"rows_{split}.csv", _csv(rows))
    files.write_text(folder / f"photographs_{split}.csv", _photographs(result))
    for name, figure in figures.items():
        files.write_figure(folder / "figures" / f"{name}_{split}.png", figure)
    files.write_text(folder / f"report_{split}.md", text + "\n")
    # Last: who finds it finds what belongs to it
    files.write_text(folder / f"metrics_{split}.json", json.dumps(content, indent=1) + "\n")
    return rows


def outdated(
    folder: pathlib.Path,
    thresholds: Mapping[str, float],
    networks: Mapping[str, str],
    written: Collection[str],
) -> list[pathlib.Path]:
    """The reports of other splits than those just written that are not of these networks."""
    own, found = [_plain(thresholds), dict(networks)], []
    for path in sorted(folder.glob("metrics_*.json")):
        split = path.stem.removeprefix("metrics_")
        try:
            content = json.loads(path.read_bytes())
            there = [content["thresholds"], content["networks"]]
        except (OSError, ValueError, LookupError, TypeError):  # damaged
            there = None
        if split not in written and there != own:
            found.append(folder / f"report_{split}.md")
    return found


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


def interval(result: Result, name: str) -> tuple[float, float]:
    """95 % interval of a row's AUC-PR (challenge33), photographs or patients resampled.

    nan where they are fewer than five.
    """
    return _interval(result, *_columns(result.rows[name]), statistic=_headline().statistic)


def _interval(result: Result, *columns: np.ndarray, statistic) -> tuple[float, float]:
    if len({*result.patients}) < FEWEST:
        return np.nan, np.nan
    return crossed_bootstrap_interval(
        *columns, statistic=statistic, resamples=RESAMPLES, clusters=result.clusters
    )


def difference(result: Result, better: str, other: str) -> dict[str, object]:
    """How much larger the AUC-PR of one row is, with its interval, and p under exchanges."""
    metric = _headline()
    one, two = (_columns(result.rows[name]) for name in (better, other))
    both = len(one)

    def statistic(*columns: np.ndarray) -> np.ndarray:
        return metric.statistic(*columns[:both]) - metric.statistic(*columns[both:])

    low, high = _interval(result, *one, *two, statistic=statistic)
    tested = {"resamples": RESAMPLES, "clusters": result.clusters}
    return {
        "row": better,
        "other": other,
        "difference": float(statistic(*(c[0] for c in [*one, *two]))),
        "low": low,
        "high": high,
        "p": paired_statistic_test(one, two, metric.statistic, **tested),
    }


def capped(definition: Definition, result: Result) -> list[str]:
    """What the bound on patches has left out, a line for each refinement; none without any."""
    lines = []
    for stage in definition.needed(definition.rows)[1]:
        costs = {n: c[stage] for n, c in zip(result.names, result.costs, strict=True)}
        said = []
        for kind, what in (
            ("left", "candidates were left out and are 0"),
            ("coarse", "keep the value of a coarser stride"),
        ):
            on = {name: cost[kind] for name, cost in costs.items() if cost[kind]}
            if on:
                some = ", ".join(list(on)[:SHOWN]) + ", …" * (len(on) > SHOWN)
                said.append(
                    f"{sum(on.values())} {what} on {len(on)} of {len(costs)} photographs ({some})"
                )
        if said:
            lines.append(
                f"{stage}: at most {definition.most_patches} patches a photograph "
                f"(refine.most_patches): {'; '.join(said)}."
            )
    return lines


# --- text -----------------------------------------------------------------------------------------


def _text(definition, result, rows, intervals, differences) -> list[str]:
    split, chosen = result.split, f"the {CHOOSING} split"
    positives = next(iter(result.rows.values())).columns["positives"]
    with_lesions, healthy = int(np.count_nonzero(positives)), sum(result.healthy)
    several = result.clusters is not None
    drawn = counted(len({*result.patients}), "patient" if several else "photograph")
    lines = [
        f"# Two stages: {split}",
        "",
        f"{counted(len(result.names), 'photograph')}, {with_lesions} with lesions, {healthy} "
        "healthy; all their pixels pooled.",
        "",
    ]
    few_lesions = with_lesions < FEW_LESIONS
    if few_lesions:
        lines += [
            f"**With {counted(with_lesions, 'photograph')} that {_have(with_lesions)} lesions no "
            "order of rows is decided.**",
            "",
        ]
    cited = [_reference(name, f) for name, f in definition.paper.items() if name not in rows]
    return [
        *lines,
        *table(
            _header(),
            [*(_line(definition, name, rows[name], intervals[name]) for name in rows), *cited],
        ),
        "AUC-PR: area under the curve of precision and recall, by the IDRiD challenge's convention "
        f"(33 thresholds, challenge33), with the 95 % interval over {drawn} drawn again; "
        "`exact` takes every threshold; `eleven` has 11 thresholds, as some later papers print it, "
        "and is comparable with neither.",
        *few(len({*result.patients}), "patient" if several else "photograph"),
        *([] if several else [EACH_ROW]),
        *_cited(definition),
        "F1, precision, recall: at a probability of 0.5; `best` at the threshold of the largest "
        f"F1 of {chosen}" + (", which is this split: it flatters." if split == CHOOSING else "."),
        f"`predict` writes {definition.predicted}, and takes its threshold of this table.",
        f"FROC: mean share of lesions found (hit rule: {definition.hit}) at 1/8 to 8 false ones a "
        f"photograph, and at 1/4 to 8, by their largest probability at {len(metrics.SCORES)} "
        "thresholds.",
        f"{UNKNOWN}: not defined, as precision is where nothing is predicted.",
        "",
        "## How rows differ",
        "",
        *_differences(differences, few_lesions),
        "",
        "## What it took",
        "",
        *_costs(definition, result),
    ]


def _have(number: int) -> str:
    return "has" if number == 1 else "have"


def _cited(definition: Definition) -> list[str]:
    if not definition.paper:
        return []
    return ["Figures in brackets are published ones, of other networks on other test photographs."]


def _header() -> list[str]:
    return [
        *("row", "AUC-PR (95 %)", "exact", "eleven", "F1", "precision", "recall"),
        *("best F1", "threshold", "FROC", "1/4 to 8"),
    ]


def _line(definition: Definition, name: str, values: Mapping, bounds: Sequence[float]) -> list[str]:
    paper = definition.paper.get(name, {})

    def shown(key: str, own: str) -> str:
        return f"{_figure(values[key])}" + (f" [{paper[own]:.4f}]" if own in paper else "")

    area = shown("auc_pr_challenge33", "auc_pr")
    if np.isfinite(bounds[0]):
        area += f" ({_figure(bounds[0])} to {_figure(bounds[1])})"
    return [
        name,
        area,
        _figure(values["auc_pr_exact"]),
        _figure(values["auc_pr_eleven"]),
        *(shown(key, key) for key in ("f1", "precision", "recall")),
        _figure(values["f1_at_best"]),
        _figure(values["best_threshold"]),
        _figure(values["froc"]),
        _figure(values["froc_camelyon"]),
    ]


def _reference(name: str, figures: Mapping[str, float]) -> list[str]:
    """The line of a paper's row that is none of ours."""
    given = {1: "auc_pr", 4: "f1", 5: "precision", 6: "recall"}  # by column
    cells = [name, *[""] * (len(_header()) - 1)]
    for column, metric in given.items():
        if metric in figures:
            cells[column] = f"[{figures[metric]:.4f}]"
    return cells


def _differences(differences: Sequence[Mapping], few_lesions: bool) -> list[str]:
    """A line a pair of rows; p only where it could decide an order."""
    if not differences:
        return ["No rows are compared."]
    lines = []
    for d in differences:
        bounds = f" ({d['low']:+.4f} to {d['high']:+.4f})" if np.isfinite(d["low"]) else ""
        p = UNKNOWN if few_lesions else f"{d['p']:.3f}"
        lines.append([f"{d['row']} − {d['other']}", f"{d['difference']:+.4f}{bounds}", p])
    return [
        *table(["AUC-PR", "difference (95 %)", "p"], lines),
        "Intervals say how the difference varies over other photographs (drawn again, as above). p "
        "is the share of random exchanges of the two rows, photograph by photograph, that differ "
        "by as much; it is not corrected for the number of pairs. As one photograph with many "
        "lesions can carry a pooled difference, the two need not agree: trust neither alone.",
        *([f"{UNKNOWN}: p is given from {FEW_LESIONS} photographs with lesions on."] * few_lesions),
    ]


def _costs(definition: Definition, result: Result) -> list[str]:
    proposals, refinements = definition.needed(definition.rows)
    stages = (*proposals, *refinements)
    counts = [(stage, kind) for stage in refinements for kind in ("candidates", "patches", "left")]
    seconds = np.array([[c["seconds"][stage] for stage in stages] for c in result.costs])
    amounts = np.array([[c[stage][kind] for stage, kind in counts] for c in result.costs])
    rows = [
        [name, *(f"{s:.1f}" for s in spent), *(f"{n:.0f}" for n in of_patches)]
        for name, spent, of_patches in zip(
            [*result.names, "mean"],
            [*seconds, seconds.mean(axis=0)],
            [*amounts, amounts.mean(axis=0)],
            strict=True,
        )
    ]
    header = ["photograph", *(f"{stage}, s" for stage in stages)]
    header += [f"{stage}: {'left out' if kind == 'left' else kind}" for stage, kind in counts]
    lines = table(header, rows)
    if refinements:
        strides = ", then ".join(map(str, definition.strides))
        lines += [f"Strides of patches, in pixels: {strides}."]
    return [*lines, *capped(definition, result)]


def _figure(value: float) -> str:
    return f"{value:.4f}" if np.isfinite(value) else UNKNOWN


def _csv(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Cells of what is not defined are empty."""
    names = list(next(iter(rows.values())))
    return _lines(
        ["row", *names], [[name, *(_cell(v[n]) for n in names)] for name, v in rows.items()]
    )


def _photographs(result: Result) -> str:
    """Of each row and photograph the pixels that are lesion, found and false at 0.5, its FROC."""
    shown = ("positives", "tp_0.5", "fp_0.5", "lesions", "found_0.5", "false_0.5")
    lines = [
        [name, photograph, int(healthy), *(_cell(row.columns[c][index]) for c in shown)]
        for name, row in result.rows.items()
        for index, (photograph, healthy) in enumerate(
            zip(result.names, result.healthy, strict=True)
        )
    ]
    return _lines(["row", "image", "healthy", *shown], lines)


def _lines(header: Sequence[str], rows: Sequence[Sequence]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def _cell(value: float) -> str:
    return f"{value:.6g}" if np.isfinite(value) else ""


def _plain(values: Mapping) -> dict:
    return {name: _number(value) for name, value in values.items()}


def _number(value: object) -> object:
    """For JSON, which has no nan: null is what is not defined."""
    return None if isinstance(value, float) and not np.isfinite(value) else value
