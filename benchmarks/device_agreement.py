"""Values on the device against those of the CPU, which a second process computes."""

import os
import pathlib
import subprocess
import sys

import device_networks as networks
import jax
import numpy as np
from device_operations import KINDS
from device_report import Reporter

# Largest difference relative to the largest entry. Losses add up 8 x 256 x 256 pixels in another
# order; distances are exact up to the square root; a step multiplies through some twenty layers,
# at full precision and as the device does by default, which may be TF32 or bfloat16 products.
TOLERANCES = {
    "value": 1e-4,
    "gradient": 1e-3,
    "distance": 1e-6,
    "step": 1e-3,
    "step by default": 1e-1,
}


def values(run) -> dict[str, list[np.ndarray]]:
    """'KIND: name' -> arrays: each loss and gradient, each distance transform, one step each."""
    found = {}
    for name, call in run.calls().items():
        kind = name.split()[0]
        if kind == "edt":
            found[f"distance: {name}"] = [call()]
        elif kind not in KINDS:
            found[f"value: {name}"], found[f"gradient: {name}"] = ([part] for part in call())
    # On a CPU the default is the highest precision: one program serves both.
    highest = None if jax.default_backend() == "cpu" else "highest"
    for network in run.sizes.compared:
        state, batch = networks.initial_state(network), networks.batch_of(network)
        for kind, precision in (("step", highest), ("step by default", None)):
            with jax.default_matmul_precision(precision):
                after, loss = networks.compiled_step(network, "float32")(state, *batch)
            # Of the first step, the momentum is the gradient.
            parts = {"loss": loss, "gradient": after["momentum"], "parameters": after["params"]}
            for part, tree in parts.items():
                found[f"{kind}: {network.kind}, {part}"] = jax.tree.leaves(tree)
    return {name: [np.asarray(array) for array in arrays] for name, arrays in found.items()}


def save(path: pathlib.Path, found: dict[str, list[np.ndarray]]) -> None:
    """Writes values for `load`."""
    np.savez(path, **{f"{n}|{i}": a for n, arrays in found.items() for i, a in enumerate(arrays)})


def load(path: pathlib.Path) -> dict[str, list[np.ndarray]]:
    """What `save` wrote."""
    found: dict[str, list[np.ndarray]] = {}
    with np.load(path) as arrays:
        for key in arrays.files:
            found.setdefault(key.split("|")[0], []).append(arrays[key])
    return found


def difference(here: list[np.ndarray], there: list[np.ndarray]) -> float:
    """Largest absolute difference over the largest absolute entry of `there`; inf for a nan."""
    scale = max(np.abs(array).max() for array in there)
    apart = max(np.abs(a - b).max() for a, b in zip(here, there, strict=True))
    if not np.isfinite(apart) or not np.isfinite(scale):
        return float("inf")
    return 0.0 if apart == 0 else float(apart / scale) if scale > 0 else float("inf")


def agreement(report: Reporter, run) -> None:
    """Largest relative difference between this device and the CPU: losses, gradients, one step."""
    report.columns("value", "difference", "tolerance", "")
    path = run.folder / "cpu.npz"
    command = [sys.executable, run.script, "--cpu-values", str(path), "--folder", str(run.folder)]
    command += ["--small"] * run.small + ["--losses", *run.losses]
    # Beside another device, the CPU is idle; a CPU would compile everything twice.
    here = values(run) if jax.default_backend() == "cpu" else None
    process = subprocess.Popen(command, env=os.environ | {"JAX_PLATFORMS": "cpu"})
    try:
        here = here or values(run)
        if process.wait() != 0:
            raise RuntimeError("the process that computes on the CPU failed, see above")
    finally:
        process.kill()
    compare(report, here, load(path))


def compare(
    report: Reporter, here: dict[str, list[np.ndarray]], there: dict[str, list[np.ndarray]]
) -> None:
    """A row for each value; one beyond its tolerance is FAR, and fails the section."""
    worst: dict[str, float] = {}
    for name in here:
        kind, apart = name.split(":")[0], difference(here[name], there[name])
        worst[kind] = max(worst.get(kind, 0.0), apart)
        far = apart > TOLERANCES[kind]
        report.row(name, apart, TOLERANCES[kind], "FAR" if far else "")
        if far:
            report.fail(f"{name}: FAR from the CPU's, {apart:.1e} of the largest entry")
    listed = ", ".join(f"{kind} {apart:.1e}" for kind, apart in worst.items())
    report.note(f"largest difference relative to the largest entry: {listed}")
