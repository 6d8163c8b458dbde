"""Time and memory of a folder of many photographs becoming a set, interrupted and gone on.

    python benchmarks/prepare_folder.py --count 10000 --work /tmp/many

Photographs and masks are generated below --work first (what is there is kept). The first
preparation is interrupted when a third is scanned, the second goes on, the third finds it done.
"""

import argparse
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import cv2
import numpy as np

SCAN = "data/many/.scan.jsonl"


def generate(folder: pathlib.Path, index: int, size: int) -> None:
    """One photograph as JPEG and its mask as PNG; a patient has two."""
    name = f"p{index // 2:05d}_{index % 2}"
    photograph, mask = folder / "photos" / f"{name}.jpg", folder / "drawn" / f"{name}_mask.png"
    if mask.exists():
        return
    random = np.random.default_rng(index)
    coarse = random.uniform(40, 220, (8, 8, 3)).astype(np.float32)
    image = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    image += random.normal(0, 6, image.shape)
    drawn = np.zeros((size, size), np.uint8)
    centre, radius = (
        random.integers(size // 4, 3 * size // 4, 2),
        int(random.integers(8, size // 5)),
    )
    cv2.circle(drawn, [int(c) for c in centre], radius, 255, -1)
    image[drawn > 0] += 30
    cv2.imwrite(str(photograph), image.clip(0, 255).astype(np.uint8))
    cv2.imwrite(str(mask), drawn)


def prepare(work: pathlib.Path, stop_at: int = 0) -> tuple[float, float, int, str]:
    """Seconds, MiB at most, status and last line of a preparation; interrupted at `stop_at`."""
    words = [sys.executable, "-m", "segjax.cli", "data", "prepare", "folder", "--name", "many"]
    words += ["--images", str(work / "photos"), "--masks", str(work / "drawn")]
    words += ["--group", "p{group}_*", "--data_dir", str(work / "data")]
    began = time.perf_counter()
    with (work / "output.txt").open("w") as output:
        process = subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT)
        while stop_at:
            time.sleep(0.05)
            scan = work / SCAN
            if scan.exists() and scan.read_bytes().count(b"\n") >= stop_at:
                process.send_signal(signal.SIGINT)
                break
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    lines = (work / "output.txt").read_text().strip().splitlines()
    return seconds, usage.ru_maxrss / 1024, os.waitstatus_to_exitcode(status), lines[-1]


def main() -> None:
    """Generates, prepares three times, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=512, help="pixels of a side")
    parser.add_argument("--work", type=pathlib.Path, required=True)
    args = parser.parse_args()
    for name in ("photos", "drawn"):
        (args.work / name).mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        each = pool.map(
            generate,
            [args.work] * args.count,
            range(args.count),
            [args.size] * args.count,
            chunksize=100,
        )
        list(each)
    shutil.rmtree(args.work / "data", ignore_errors=True)
    print("| preparation | seconds | memory at most, MiB | status | last line |")
    print("|---|---|---|---|---|")
    for title, stop_at in (
        ("interrupted at a third of the scan", args.count // 3),
        ("gone on", 0),
        ("again", 0),
    ):
        seconds, memory, status, last = prepare(args.work, stop_at)
        print(f"| {title} | {seconds:.1f} | {memory:.0f} | {status} | `{last}` |", flush=True)


if __name__ == "__main__":
    main()
