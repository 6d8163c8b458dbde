"""Remarks on how much of each class was predicted, beside how much of it there is."""

from collections.abc import Sequence

import numpy as np

from segjax.tasks.metric import Columns

# So many times too much, or too little, is worth a remark.
FAR = 3


def remarks(names: Sequence[str], columns: Columns, kind: str) -> list[str]:
    """A line on each class that was never predicted, is never there, or is far from its size.

    Args:
        names: of the classes.
        columns: of a table: `KIND_NAME` as predicted, `true_KIND_NAME` as annotated.
        kind: `area` or `volume`.

    Returns: lines; none for a class that lacks a column.
    """
    lines = []
    for name in names:
        if not {f"{kind}_{name}", f"true_{kind}_{name}"} <= {*columns}:
            continue
        found, there = (np.mean(columns[f"{of}{kind}_{name}"]) for of in ("", "true_"))
        if not np.isfinite([found, there]).all():
            continue
        if not there:
            lines.append(absent(name))
        elif not found:
            lines.append(f"{name} was predicted in no case.")
        elif not 1 / FAR <= found / there <= FAR:
            lines.append(
                f"{name}: the predicted {kind} is {found / there:.2g} times the annotated one."
            )
    return lines


def absent(name: str) -> str:
    """What is said of a class that is annotated nowhere."""
    return f"{name} is annotated in no case, and counts as found wherever it is not predicted."
