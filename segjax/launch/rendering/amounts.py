"""Amounts of a cluster, which are written as Slurm does, in the units of other tools."""

import math
import re

MEMORY = re.compile(r"(\d+)([KMGT]?)B?", re.I)


def seconds(time: str) -> int:
    """Of minutes, M:SS, H:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS; 0 of an empty one."""
    if not time:
        return 0
    days, dash, clock = time.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    # After days the first number is hours; alone it is minutes, unless there are three
    hours_first = bool(dash) or len(parts) == 3
    parts = parts if hours_first else [0, *parts]
    hours, minutes, rest = (*parts, 0, 0)[:3]
    return int(days or 0) * 86400 + hours * 3600 + minutes * 60 + rest


def quantity(memory: str) -> str:
    """Memory as Kubernetes has it: Slurm's 64G are 64Gi, its bare numbers are Mi."""
    found = MEMORY.fullmatch(memory)
    return f"{found[1]}{found[2].upper() or 'M'}i" if found else memory


def gigabytes(memory: str) -> int | None:
    """Memory in whole gigabytes; None where it is written otherwise."""
    found = MEMORY.fullmatch(memory)
    if not found:
        return None
    power = "KMGT".index(found[2].upper() or "M") - 2
    return math.ceil(int(found[1]) * 1024.0**power)
