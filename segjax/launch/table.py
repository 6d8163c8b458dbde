"""The table that ends a sweep: a row a setting, over seeds and cases."""

import csv
import io
import json
import pathlib
from dataclasses import dataclass

import numpy as np

from segjax import stats
from segjax.config import files, sweeps
from segjax.errors import UserError
from segjax.launch.local import DONE, MANIFEST, folder_of, read_manifest


@dataclass(frozen=True)
class Row:
    """The finished points of one setting."""

    label: str
    seeds: tuple
    metrics: tuple[dict[str, float], ...]  # one a seed
    distances: np.ndarray  # [seeds, cases], normalised
    paper: dict[str, float]


def is_sweep(folder: pathlib.Path) -> bool:
    """Whether a folder was made by `segjax sweep`."""
    return (folder / MANIFEST).exists()


def read_rows(workdir: pathlib.Path) -> tuple[list[Row], int]:
    """The finished points gathered by setting, and how many points are not done."""
    points = list(read_manifest(workdir)["points"].values())
    done = [point for point in points if (folder_of(workdir, point) / DONE).exists()]
    groups: dict[str, list[sweeps.Point]] = {}
    for point in done:
        groups.setdefault(sweeps.row_label(point), []).append(point)
    rows = [_row(workdir, label, group) for label, group in groups.items()]
    return rows, len(points) - len(done)


def _row(workdir: pathlib.Path, label: str, points: list[sweeps.Point]) -> Row:
    folders = [folder_of(workdir, point) for point in points]
    contents = [json.loads((folder / DONE).read_text()) for folder in folders]
    cases = [_case_values(folder / "predictions_validation.csv") for folder in folders]
    paper = json.loads((folders[0] / "config.json").read_text())["paper"]
    seeds = tuple(point.get("seed", 0) for point in points)
    return Row(label, seeds, tuple(c["metrics"] for c in contents), np.array(cases), paper)


def _case_values(path: pathlib.Path) -> list[float]:
    """The last column of a prediction table: the value by which the task scores a case."""
    with path.open(newline="") as file:
        _, *lines = csv.reader(file)
    return [float(line[-1]) for line in lines]


def _task_of(workdir: pathlib.Path):
    from segjax.train import preflight

    for point in read_manifest(workdir)["points"].values():
        path = folder_of(workdir, point) / "config.json"
        if path.exists():
            return preflight.make_task(files.from_json(path))
    raise UserError(f"{workdir}: no point has begun")


HEADER = (
    "setting",
    "seeds",
    "mean",
    "95 % interval (seeds and cases)",
    "each seed",
    "p against the best (Holm)",
    "the paper's own figure, on its own data",
)


def cells(rows: list[Row], task) -> list[list[str]]:
    """The table's cells, best setting marked with an asterisk."""
    name, score = task.headline, task.headline_of
    means = [np.mean([metrics[name] for metrics in row.metrics]) for row in rows]
    best = int(np.argmax(means) if task.higher_is_better else np.argmin(means))
    p_values = _p_values(rows, best)
    table = []
    for index, row in enumerate(rows):
        low, high = stats.crossed_bootstrap_interval(row.distances, transform=score)
        table.append(
            [
                row.label + (" *" if index == best else ""),
                str(len(row.seeds)),
                f"{means[index]:.3f}",
                f"{low:.3f} to {high:.3f}",
                " ".join(f"{metrics[name]:.3f}" for metrics in row.metrics),
                p_values[index],
                f"{row.paper[name]:g}" if name in row.paper else "",
            ]
        )
    return table


def _p_values(rows: list[Row], best: int) -> list[str]:
    """Paired permutation tests over cases (values averaged over seeds) against the best setting."""
    others = [i for i in range(len(rows)) if i != best]
    cases = [row.distances.mean(axis=0) for row in rows]
    raw = [stats.paired_permutation_test(cases[i], cases[best]) for i in others]
    texts = dict(zip(others, (f"{p:.4f}" for p in stats.holm(raw)), strict=True))
    return [texts.get(i, "") for i in range(len(rows))]


def write(workdir: pathlib.Path) -> pathlib.Path:
    """Writes report.md and report.csv of a sweep; returns the former's path."""
    if not is_sweep(workdir):
        raise UserError(f"{workdir}: not a sweep's folder (no {MANIFEST})")
    rows, missing = read_rows(workdir)
    task = _task_of(workdir)
    manifest = read_manifest(workdir)
    table = cells(rows, task) if rows else []
    lines = [
        f"# Sweep of {manifest['config']}",
        "",
        f"{task.headline} on validation, {'higher' if task.higher_is_better else 'lower'} is better"
        + (f"; {missing} points are not done yet" if missing else "")
        + ". The asterisk marks the best mean.",
        "",
        "| " + " | ".join(HEADER) + " |",
        "|" + "---|" * len(HEADER),
        *("| " + " | ".join(row) + " |" for row in table),
        "",
    ]
    files.write_atomic(workdir / "report.md", "\n".join(lines))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([HEADER, *table])
    files.write_atomic(workdir / "report.csv", text.getvalue())
    return workdir / "report.md"
