"""Sections of benchmarks/device.py without networks: losses, distance transforms, persistence."""

import math

import host_peers
from device_report import Reporter
from turns import Worker, best_seconds

ROUNDS = 2
KINDS = ("edt", "persistence")


def losses(report: Reporter, run) -> None:
    """Value and gradient of each loss against its best PyTorch peer on the same device."""
    report.columns("loss", "segjax ms", "peer ms", "peer / segjax", "best peer")
    calls = {n: call for n, call in run.calls().items() if n.split()[0] not in KINDS}
    ratios = []
    with run.torch("losses", report) as torch:
        for name, call in calls.items():
            if not report.in_time(f"`{name}`"):
                break
            try:
                mine, theirs = in_turns(name, call, torch, run.sizes.seconds)
            except Exception as error:
                report.fail(f"`{name}`: {run.one_line(error)}")
                continue
            for peer, problem in theirs.items():
                if isinstance(problem, str):
                    report.note(f"`{name}`: {peer} failed: {problem}")
            timed = {peer: s for peer, s in theirs.items() if not isinstance(s, str)}
            best = min(timed, key=timed.get, default=None)
            if best is None:
                report.row(name, 1e3 * mine, None, None, None)
                continue
            ratios.append(timed[best] / mine)
            report.row(name, 1e3 * mine, 1e3 * timed[best], ratios[-1], best)
    if ratios:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        report.note(f"geometric mean {mean:.2f}, lowest {min(ratios):.2f}, of {len(ratios)}")


def in_turns(name: str, call, torch: Worker | None, seconds: float) -> tuple[float, dict]:
    """Seconds of segjax's best call, and by peer those of the other side, or why it has none."""
    mine, theirs = math.inf, {}
    for _ in range(ROUNDS):
        mine = min(mine, best_seconds(call, seconds, least=1))
        for peer, found in (torch.ask(name) if torch else {}).items():
            old = theirs.get(peer, math.inf)
            theirs[peer] = found if isinstance(found, str) else min(found, old)
    return mine, theirs


def distance(report: Reporter, run) -> None:
    """Exact Euclidean distance transforms in 2-D and 3-D, against SciPy and edt on the host."""
    against_the_host(report, run, "edt", ("SciPy", "edt"))
    if not host_peers.edt:
        report.note("edt is not installed: no times of it")


def persistence(report: Reporter, run) -> None:
    """Components and holes: the device route, and the host route where GUDHI is installed."""
    against_the_host(report, run, "persistence", ("GUDHI",))
    if not host_peers.gudhi:
        report.note("GUDHI cannot be imported: no host route, and no peer of the device route")


def against_the_host(report: Reporter, run, kind: str, peers: tuple[str, ...]) -> None:
    """A row for each operation of a kind; the peers work on the host, image by image."""
    heads = [head for peer in peers for head in (f"{peer} ms", f"{peer} / segjax")]
    report.columns("operation", "segjax ms", *heads)
    beside = host_peers.operation_calls(run.folder)
    for name, call in run.calls().items():
        if name.split()[0] != kind or (name == "persistence host" and not host_peers.gudhi):
            continue
        if not report.in_time(f"`{name}`"):
            return
        try:
            mine = best_seconds(call, 2 * run.sizes.seconds, least=1)
        except Exception as error:
            report.fail(f"`{name}`: {run.one_line(error)}")
            continue
        cells = []
        for peer in peers:
            other = beside.get(name, {}).get(peer)
            took = best_seconds(other, run.sizes.seconds, least=1) if other else None
            cells += [took and 1e3 * took, took and took / mine]
        shape = run.shape_of(name)
        report.row(f"{name} {shape}".strip(), 1e3 * mine, *cells)
