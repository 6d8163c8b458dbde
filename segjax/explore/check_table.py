"""`segjax check`: one line a loss, and how many failed."""

import sys
import time
from collections.abc import Mapping, Sequence

import jax
from tqdm import tqdm

from segjax.config import lookup
from segjax.errors import UserError
from segjax.explore import check
from segjax.explore.example import Example, load

COLUMNS = ("closed form", "differences", "kinks", "worst", "verdict")


def run(names: Sequence[str] = (), *, seed: int = 0, example: str | None = None) -> int:
    """Prints the table of the named losses, or of all; returns how many failed.

    Args:
        names: of the losses.
        seed: of the random inputs and directions.
        example: a function, as `package.module:function`, that gives the losses' arrays.

    Raises: UserError, before anything is printed, for a name that is no loss and for an example
        that does not fit.
    """
    began = time.perf_counter()
    if example is not None and not names:
        raise UserError(f"--example {example}: takes the names of the losses that it is for")
    names = list(dict.fromkeys(names)) or lookup.names("losses")
    losses = {name: check.find(name) for name in names}
    if example is None:
        for name, (loss, _) in losses.items():
            check.check_inputs(loss, name)
    jax.devices()  # where there is none, that is no failure of a loss
    examples = _examples(losses, example) if example is not None else {}
    width = max(len(name) for name in ("loss", *names))
    head = _line(width, "loss", *COLUMNS)
    print(head, "-" * (len(head) + 8), sep="\n")
    failures = 0
    bar = tqdm(
        losses.items(), desc="checking", unit="loss", leave=False, disable=not sys.stderr.isatty()
    )
    for name, (loss, closed_form) in bar:
        bar.set_postfix_str(name)
        options = {"name": name, "seeds": (seed, seed + 1), "example": examples.get(name)}
        findings = check.check_loss(loss, closed_form, **options)
        fault = check.verdict(findings)
        failures += bool(fault)
        tqdm.write(_row(width, name, findings, fault), file=sys.stdout)
        sys.stdout.flush()
    print("-" * (len(head) + 8))
    seconds = time.perf_counter() - began
    print(f"{_count(len(names), 'loss', 'losses')}, {_count(failures, 'failure')}, {seconds:.0f} s")
    return failures


def _examples(losses: Mapping[str, tuple], example: str) -> dict[str, Example]:
    given, where = load(example), f"--example {example}"
    return {name: check.own_example(given, loss, name, where) for name, (loss, _) in losses.items()}


def _row(width: int, name: str, findings: Sequence[check.Finding], fault: str) -> str:
    tried = sum(finding.directions for finding in findings)
    kinks = sum(finding.kinks for finding in findings)
    return _line(
        width,
        name,
        _largest(finding.closed_form for finding in findings),
        _largest(finding.differences for finding in findings),
        f"{kinks}/{tried}",
        str(check.worst_of(findings)),
        "; ".join(filter(None, [f"FAIL: {fault}" if fault else "ok", check.note(findings)])),
    )


def _line(width: int, *words: str) -> str:
    name, closed_form, differences, kinks, worst, verdict = words
    numbers = f"{closed_form:>11}  {differences:>11}  {kinks:>7}"
    return f"{name:<{width}}  {numbers}  {worst:<17}  {verdict}".rstrip()


def _largest(errors) -> str:
    found = [error for error in errors if error is not None]
    return f"{max(found):.1e}" if found else "-"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
