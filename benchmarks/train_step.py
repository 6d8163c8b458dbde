"""One training step of a network on CPU: segjax against PyTorch, images per second.

    python benchmarks/train_step.py --size 64 128 --batch 8 --steps 10
    python benchmarks/train_step.py --network frrn --size 256 --batch 1 --steps 3

The same network with 3 channels in, float32, SGD, same cores: `cellpose`, the U-Net (6.6 million
parameters, 1 channel out), or `frrn`, the full-resolution residual network of type A (17.7
million, 2 classes; narrower with `--base`). PyTorch runs channels-last. Each side runs in a process
of its own, so that their thread pools do not meet, and the two take turns; the best step counts.
PyTorch may live elsewhere: `--torch-python PATH`.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable

FEATURES = (32, 64, 128, 256)
BASE, LANES = 48, 32  # of the published FRRN


def jax_network(name: str, base: int):
    """The network of segjax."""
    from segjax import models

    if name == "cellpose":
        return models.CellposeUNet(FEATURES)
    return models.FRRN(2, base=base, lanes=base * LANES // BASE)


def torch_network(name: str, base: int):
    """Its PyTorch twin."""
    from torch_cellpose import CellposeUNet
    from torch_frrn import FRRN

    if name == "cellpose":
        return CellposeUNet(3, FEATURES, 1)
    return FRRN(2, base, base * LANES // BASE)


def jax_step(name: str, base: int, size: int, batch: int) -> Callable[[], None]:
    """A closure that runs one step of segjax and waits for it."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_platforms", "cpu")
    model = jax_network(name, base)
    image = jax.random.uniform(jax.random.key(0), (batch, size, size, 3))
    init = jax.jit(lambda key: model.init(key, image, train=False))
    state = {"variables": init(jax.random.key(0, impl="rbg"))}

    def step(variables: dict, image: jax.Array) -> dict:
        def loss(params: dict) -> tuple[jax.Array, dict]:
            tree = {"params": params, "batch_stats": variables["batch_stats"]}
            out, stats = model.apply(tree, image, train=True, mutable=["batch_stats"])
            return jnp.mean(out["logits"] ** 2), stats

        grads, stats = jax.grad(loss, has_aux=True)(variables["params"])
        params = jax.tree.map(lambda p, g: p - 0.01 * g, variables["params"], grads)
        return {"params": params, **stats}

    compiled = jax.jit(step, donate_argnums=0)

    def run() -> None:
        state["variables"] = jax.block_until_ready(compiled(state["variables"], image))

    return run


def torch_step(name: str, base: int, size: int, batch: int) -> Callable[[], None]:
    """A closure that runs one step of the PyTorch twin."""
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    net = torch_network(name, base).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    image = torch.rand(batch, 3, size, size).to(memory_format=torch.channels_last)

    def run() -> None:
        optimizer.zero_grad(set_to_none=True)
        found = net(image)
        logits = found[0] if isinstance(found, tuple) else found
        (logits**2).mean().backward()
        optimizer.step()

    return run


def best_seconds(run: Callable[[], None], steps: int) -> float:
    """Seconds of the fastest of `steps` steps after one that compiles and warms up."""
    run()
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def measure(side: str, args: argparse.Namespace, size: int) -> float | None:
    """Images per second of one side in a fresh process; None where PyTorch is missing."""
    python = args.torch_python if side == "torch" else sys.executable
    if subprocess.run([python, "-c", f"import {side}"], capture_output=True).returncode:
        return None
    command = [python, __file__, "--worker", side, "--size", str(size)]
    command += ["--batch", str(args.batch), "--steps", str(args.steps)]
    command += ["--threads", str(args.threads)]
    command += ["--network", args.network, "--base", str(args.base)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return args.batch / float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=["cellpose", "frrn"], default="cellpose")
    parser.add_argument("--base", type=int, default=BASE, help="channels of the FRRN")
    parser.add_argument("--size", type=int, nargs="+", default=[64, 128], help="image side, pixels")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=10, help="timed steps per round")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each side")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="cores for each side")
    parser.add_argument("--torch-python", default=sys.executable, help="interpreter with PyTorch")
    parser.add_argument("--worker", choices=["jax", "torch"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
        make = jax_step if args.worker == "jax" else torch_step
        print(best_seconds(make(args.network, args.base, args.size[0], args.batch), args.steps))
        return
    shared = f"batch {args.batch}, {args.threads} threads, float32, SGD"
    print(f"{args.network}, {shared}; images/s, best step")
    print(f"{'px':>5} {'segjax':>9} {'torch':>9} {'torch / segjax':>15}")
    for size in args.size:
        rates = {"jax": [], "torch": []}
        for _ in range(args.rounds):
            for side, found in rates.items():
                found.append(measure(side, args, size))
        ours = max(rates["jax"])
        if None in rates["torch"]:
            print(f"{size:>5} {ours:>9.2f} {'-':>9} {'no PyTorch':>15}")
            continue
        peer = max(rates["torch"])
        print(f"{size:>5} {ours:>9.2f} {peer:>9.2f} {peer / ours:>15.2f}", flush=True)


if __name__ == "__main__":
    main()
