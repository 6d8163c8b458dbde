"""Reads what runs write of their results: tables of cases, metrics, curves, descriptions."""

import csv
import json
import math
import pathlib
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from segjax.errors import UserError
from segjax.train import logs

Curves = dict[str, dict[int, float]]  # name -> step -> value on validation


def read_table(path: pathlib.Path) -> tuple[list[str], dict[str, np.ndarray]]:
    """Cases and columns of a predictions_<split>.csv; an empty cell is nan.

    A case that stands there twice gets a number: `a`, `a (2)`.
    """
    try:
        with path.open(newline="") as file:
            # strict: a table cut off within quotes is refused, not read as one long cell
            lines = list(csv.reader(file, strict=True))
        header, lines = lines[0] if lines else [], lines[1:]
        if header[:1] != ["image"] or len(header) < 2 or not lines:
            raise ValueError("no header, or no case below it")
        for number, line in enumerate(lines, start=2):
            if len(line) != len(header):
                raise ValueError(f"line {number} has {len(line)} cells, the header {len(header)}")
        values = np.array([[float(cell or "nan") for cell in line[1:]] for line in lines])
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path}: cannot read it: {error}; evaluate again") from error
    # Names have to be unique: cases of different points are paired by them
    seen: Counter[str] = Counter()
    cases = []
    for name, *_ in lines:
        seen[name] += 1
        cases.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return cases, dict(zip(header[1:], values.T, strict=True))


def patients_of(result: Mapping, cases: Sequence[str]) -> np.ndarray | None:
    """The patient of each case, as a metrics_<split>.json says; None where each is of another.

    A case that it does not know is a patient of its own.
    """
    known = result.get("patients")
    if not isinstance(known, dict):
        return None
    found = np.array([str(known.get(case, case)) for case in cases])
    return found if len({*found}) < len(found) else None


def read_json(path: pathlib.Path, *keys: str) -> dict:
    """An object with some keys that a run wrote; UserError if it is missing or damaged."""
    try:
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict):
            raise ValueError("it holds no object")
        if lacking := [key for key in keys if key not in content]:
            raise ValueError(f"it has no {lacking[0]!r}")
        return content
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot read it: {error}; train or evaluate again") from error


def read_numbers(values: Mapping) -> dict[str, float]:
    """Numbers by name as a run wrote them, null for what is not defined; nan for null."""
    return {name: math.nan if value is None else value for name, value in values.items()}


def read_curves(path: pathlib.Path) -> Curves:
    """Validation values over steps of a metrics.jsonl; empty without the file."""
    if not path.exists():
        return {}
    rows, faults = logs.parse_rows(path.read_bytes())
    if faults:
        raise UserError(f"{path}: damaged: {faults[0]}; delete such lines to report without them")
    curves: Curves = {}
    for row in rows:
        if row["split"] == "validation":
            value = math.nan if row["value"] is None else float(row["value"])
            curves.setdefault(row["name"], {})[row["step"]] = value
    return curves
