"""The rows of one pipeline over several trainings of it, under other seeds.

    python benchmarks/pipeline_seeds.py work/seed_0 work/seed_1 work/seed_2 --pairs \\
        "HGN geometric" "HGN 1x"

The folders are of `segjax pipeline train` and `evaluate`; what was kept of each photograph is read.
Prints the mean over seeds of AUC-PR (challenge33) and FROC of each row, with the figure of each
seed, and how pairs of rows differ. Intervals draw seeds and photographs anew, p exchanges rows
under all seeds at once.
"""

import argparse
import pathlib
from collections.abc import Sequence

import numpy as np

from segjax.cli import use_compilation_cache
from segjax.pipelines import definition, evaluation, identity, stages
from segjax.stats.resampling import crossed_bootstrap_interval, paired_statistic_test
from segjax.tasks.lesions import metrics
from segjax.tasks.metric import Metric

RESAMPLES = 2000


def kept(folder: pathlib.Path, split: str, places: dict) -> dict[str, evaluation.RowResult]:
    """The rows of a folder; photographs that were not evaluated yet are."""
    made = definition.read(folder, places)
    trained = stages.open_all(made, folder, list(made.stages), places)
    key = identity.of_evaluation(made, identity.of_stages(trained), trained)
    return dict(evaluation.evaluate(made, folder, trained, split, key).rows)


def columns(rows: Sequence[evaluation.RowResult], metric: Metric) -> list[np.ndarray]:
    """What the statistic of a metric takes, `[seeds, photographs]` each."""
    return [np.stack([row.columns[name] for row in rows]) for name in metric.columns]


def mean(metric: Metric, given: Sequence[np.ndarray]) -> str:
    """The mean over seeds with its interval, and the figure of each."""
    each = metric.statistic(*given)
    low, high = crossed_bootstrap_interval(*given, statistic=metric.statistic, resamples=RESAMPLES)
    shown = ", ".join(f"{value:.3f}" for value in each)
    return f"{np.mean(each):.3f} ({low:.3f} to {high:.3f}; {shown})"


def difference(metric: Metric, one: list[np.ndarray], two: list[np.ndarray]) -> str:
    """How much larger the first is, with its interval, p, and the difference of each seed."""

    def statistic(*given: np.ndarray) -> np.ndarray:
        return metric.statistic(*given[: len(one)]) - metric.statistic(*given[len(one) :])

    each = statistic(*one, *two)
    low, high = crossed_bootstrap_interval(*one, *two, statistic=statistic, resamples=RESAMPLES)
    p = paired_statistic_test(one, two, metric.statistic, resamples=RESAMPLES)
    shown = ", ".join(f"{value:+.3f}" for value in each)
    return f"{np.mean(each):+.3f} ({low:+.3f} to {high:+.3f}; {shown}) | {p:.4f}"


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", type=pathlib.Path, nargs="+")
    parser.add_argument("--data_dir", help="where the data are, if not where the configs say")
    parser.add_argument("--split", default="test")
    parser.add_argument(
        "--pairs", nargs="+", default=[], help="rows, two by two; else those of the pipeline"
    )
    args = parser.parse_args()
    use_compilation_cache()
    places = {"data_dir": args.data_dir} if args.data_dir else {}
    found = [kept(folder, args.split, places) for folder in args.folders]
    area, froc = metrics.of("pixels")[0], metrics.of_lesions("")[0]
    print("| row | AUC-PR | FROC |\n|---|---|---|")
    for name in found[0]:
        rows = [one[name] for one in found]
        print(f"| {name} | {' | '.join(mean(m, columns(rows, m)) for m in (area, froc))} |")
    pairs = list(zip(args.pairs[::2], args.pairs[1::2], strict=True))
    pairs = pairs or definition.read(args.folders[0], places).compared
    print("\n| AUC-PR | difference | p |\n|---|---|---|")
    for one, other in pairs:
        both = [columns([rows[name] for rows in found], area) for name in (one, other)]
        print(f"| {one} - {other} | {difference(area, *both)} |")


if __name__ == "__main__":
    main()
