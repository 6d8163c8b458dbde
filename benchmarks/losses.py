"""Every loss against its best PyTorch peer, value and gradient, on the same threads in one run.

    python benchmarks/losses.py --torch-python PATH            # all losses, and both transforms
    python benchmarks/losses.py --only dice hausdorff_dt

Batch 8 of 256x256 pixels, 3 classes, float32: three touching regions with a rough prediction. The
two sides live in processes of their own and take turns, loss by loss; the best call of each counts.
The peers are MONAI, kornia, GUDHI, SciPy, edt and the authors' own arithmetic
(benchmarks/torch_losses.py).
"""

import argparse
import math
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from turns import Worker, best_seconds, serve

BATCH, SIZE, CLASSES = 8, 256, 3
MASKS = {"2d": (8, 256, 256), "512": (4, 512, 512), "3d": (1, 64, 128, 128)}


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], sigma: float) -> np.ndarray:
    """Gaussian noise, blurred by a product of cosines in Fourier space, of unit variance."""
    noise = rng.standard_normal(shape)
    spectrum = np.fft.fftn(noise, axes=tuple(range(1, len(shape))))
    for axis in range(1, len(shape)):
        frequency = np.fft.fftfreq(shape[axis])
        gain = np.exp(-2 * (np.pi * sigma * frequency) ** 2)
        spectrum *= gain.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    smooth = np.fft.ifftn(spectrum, axes=tuple(range(1, len(shape)))).real
    return smooth / smooth.std()


def write_inputs(
    folder: pathlib.Path, batch: int = BATCH, size: int = SIZE, masks: dict | None = None
) -> None:
    """The arrays that both sides read: labels, logits and maps, and masks `[b, *s]` by name."""
    rng = np.random.default_rng(0)
    fields = np.stack([smooth_noise(rng, (batch, size, size), 12) for _ in range(CLASSES)], -1)
    labels = fields.argmax(-1).astype(np.int32)
    rough = np.stack([smooth_noise(rng, (batch, size, size), 3) for _ in range(CLASSES)], -1)
    np.save(folder / "labels.npy", labels)
    np.save(folder / "logits.npy", (4 * fields + 2 * rough).astype(np.float32))
    # Ready maps of any kind: each pixel's values decide nothing about the time.
    np.save(folder / "maps.npy", rough.astype(np.float32))
    for name, shape in (masks or MASKS).items():
        np.save(folder / f"dense_{name}.npy", smooth_noise(rng, shape, 5) > 0)
        sparse = np.ones(shape, bool)
        sparse[(slice(None), *(n // 3 for n in shape[1:]))] = False
        np.save(folder / f"sparse_{name}.npy", sparse)


def jax_calls(folder: pathlib.Path) -> dict:
    """name -> a closure that makes value and gradient and waits for them."""
    import jax
    import jax.numpy as jnp

    from segjax import losses, maps, ops

    logits, labels, ready = (
        jnp.asarray(np.load(folder / f"{n}.npy")) for n in ("logits", "labels", "maps")
    )

    def timed(function, *arrays):
        compiled = jax.jit(function)
        return lambda: jax.block_until_ready(compiled(*arrays))

    def of_labels(loss, **options):
        return timed(jax.value_and_grad(lambda z, y: loss(z, y, **options).mean()), logits, labels)

    def of_maps(loss, make_maps):
        """The maps are made anew from the labels: that is most of the time."""
        return timed(
            jax.value_and_grad(lambda z, y: loss(z, make_maps(y, CLASSES)).mean()), logits, labels
        )

    def of_ready_maps(loss):
        return timed(jax.value_and_grad(lambda z, m: loss(z, m).mean()), logits, ready)

    calls = {
        "cross_entropy": of_labels(losses.cross_entropy),
        "focal": of_labels(losses.focal),
        "top_k_cross_entropy": of_labels(losses.top_k_cross_entropy, over="batch"),
        "dice": of_labels(losses.dice),
        "jaccard": of_labels(losses.jaccard),
        "generalized_dice": of_labels(losses.generalized_dice),
        "tversky": of_labels(losses.tversky),
        "focal_tversky": of_labels(losses.focal_tversky),
        "lovasz_softmax": of_labels(losses.lovasz_softmax),
        "region_wise": of_maps(losses.region_wise, maps.rectified),
        "boundary": of_maps(losses.boundary, maps.boundary),
        "region_wise, ready maps": of_ready_maps(losses.region_wise),
        "boundary, ready maps": of_ready_maps(losses.boundary),
        "hausdorff_dt": of_labels(losses.hausdorff_dt),
        "hausdorff_er": of_labels(losses.hausdorff_er, reading="repo", include_background=True),
        "active_contour": of_labels(losses.active_contour),
        "soft_cl_dice": of_labels(losses.soft_cl_dice, iterations=3, include_background=True),
        "topological": of_labels(losses.topological, dims=(0,)),
    }
    image = jnp.asarray(np.load(folder / "logits.npy")[..., 0])

    def both_dimensions(image, route):
        return [
            ops.persistence_pairs(image, max_pairs=20000, dim=dim, route=route) for dim in (0, 1)
        ]

    for route in ("host", "device"):
        calls[f"persistence {route}"] = timed(lambda x, r=route: both_dimensions(x, r), image)
    for path in sorted(folder.glob("*se_*.npy")):
        mask = jnp.asarray(np.load(path))
        calls[f"edt {path.stem}"] = timed(
            lambda m, n=mask.ndim: ops.distance_transform(m, spatial_ndim=n - 1), mask
        )
    return calls


def print_lovasz_routes(folder: pathlib.Path) -> None:
    """Largest differences of value and gradient between the routes of Lovász-softmax."""
    import jax

    from segjax import losses

    logits, labels = (np.load(folder / f"{name}.npy") for name in ("logits", "labels"))

    def by(route):
        return jax.jit(
            jax.value_and_grad(lambda z: losses.lovasz_softmax(z, labels, route=route).mean())
        )(logits)

    (host, host_slope), (device, device_slope) = by("host"), by("device")
    apart = np.abs(host_slope - device_slope).max()
    print(
        f"lovasz_softmax, host against device: values {host} and {device}, gradients differ by "
        f"{apart} of {np.abs(device_slope).max()} at most"
    )


def print_skeleton_memory() -> None:
    """Temporary memory of value and gradient of the soft skeleton, by number of iterations."""
    import jax

    from segjax import ops

    shape = jax.ShapeDtypeStruct((8, 512, 512), np.float32)
    sizes = {}
    for iterations in (1, 10, 50):
        step = jax.grad(lambda x, k=iterations: ops.soft_skeleton(x, iterations=k).sum())
        analysis = jax.jit(step).lower(shape).compile().memory_analysis()
        sizes[iterations] = analysis.temp_size_in_bytes
    listed = ", ".join(f"{k} iterations {size / 1e6:.0f} MB" for k, size in sizes.items())
    print(
        f"soft skeleton, 512x512x8, value and gradient: {listed}; {sizes[50] / sizes[1]:.2f} times"
    )


def work(side: str, folder: pathlib.Path, threads: int, seconds: float) -> None:
    """Answers each name on standard input with the seconds of the best call of each peer."""
    if threads:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    if side == "jax":
        calls = {name: {"segjax": call} for name, call in jax_calls(folder).items()}
    else:
        from host_peers import operation_calls
        from torch_losses import torch_calls

        calls = torch_calls(folder) | operation_calls(folder)

    def answer(name: str) -> dict[str, float]:
        return {peer: best_seconds(call, seconds) for peer, call in calls.get(name, {}).items()}

    serve(calls, answer)


def worker(side: str, python: str, folder: pathlib.Path, args: argparse.Namespace) -> Worker:
    """The process of one side."""
    command = [python, "-W", "ignore", __file__, "--worker", side, "--folder", str(folder)]
    return Worker([*command, "--threads", str(args.threads), "--seconds", str(args.seconds)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="some of the rows")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each row and turn")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each side")
    parser.add_argument("--threads", type=int, default=0, help="cores for each side; default: all")
    parser.add_argument("--torch-python", default=sys.executable, help="interpreter with the peers")
    parser.add_argument("--worker", choices=["jax", "torch"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=pathlib.Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return work(args.worker, args.folder, args.threads, args.seconds)
    if subprocess.run(
        [args.torch_python, "-c", "import torch, monai"], capture_output=True
    ).returncode:
        sys.exit("the peers are missing: install the extra `peers`, or name --torch-python PATH")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_inputs(folder)
        ours = worker("jax", sys.executable, folder, args)
        theirs = worker("torch", args.torch_python, folder, args)
        table(ours, theirs, args)
        if not args.only or "lovasz_softmax" in args.only:
            print_lovasz_routes(folder)
    if not args.only:
        print_skeleton_memory()


def table(ours: Worker, theirs: Worker, args: argparse.Namespace) -> None:
    """Prints a row for each loss, and the geometric mean of the ratios."""
    print(f"{'':24} {'segjax ms':>10} {'peer ms':>10} {'ratio':>7}  best peer")
    ratios = {"loss": [], "edt": [], "persistence": []}
    for name in args.only or ours.names:
        times: dict[str, float] = {}
        for _ in range(args.rounds):
            for side in (ours, theirs):
                for peer, seconds in side.ask(name).items():
                    times[peer] = min(seconds, times.get(peer, math.inf))
        mine = times.pop("segjax")
        kind = name.split()[0] if name.split()[0] in ratios else "loss"
        for peer in sorted(times, key=times.get)[: None if kind == "edt" else 1]:
            ratio = times[peer] / mine
            if peer != "edt":
                ratios[kind].append(ratio)
            print(
                f"{name:24} {1e3 * mine:>10.2f} {1e3 * times[peer]:>10.2f} {ratio:>7.2f}  {peer}",
                flush=True,
            )
    for kind, found in ratios.items():
        if found:
            mean = math.exp(sum(map(math.log, found)) / len(found))
            print(f"{kind}: geometric mean {mean:.2f}, lowest {min(found):.2f}, of {len(found)}")


if __name__ == "__main__":
    main()
