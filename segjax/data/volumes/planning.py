"""From a prepared data set to a plan on disk, and a plan in words."""

import contextlib
import dataclasses
import math
import os
import pathlib
import statistics
from collections.abc import Collection, Iterator

from segjax import files
from segjax.data import digest, staging, store
from segjax.data.volumes.fingerprint import Fingerprint, compute
from segjax.data.volumes.plan import (
    SHARE,
    SMALLEST_BATCH,
    TIGHT,
    VERSIONS,
    Plan,
    plan_2d,
    read_plan,
)
from segjax.errors import UserError

FOLDER = "plans"  # beside the prepared sets


def write_plan(
    name: str,
    data_dir: str,
    output: str | os.PathLike | None = None,
    version: str = "v1",
    split: str = "train",
) -> pathlib.Path:
    """Plans for a prepared set of volumes and writes the plan, and its fingerprint beside it.

    Args:
        name: `set` or `set/config`.
        data_dir: where it is prepared.
        output: the file; None is `data_dir/plans/NAME-VERSION.json`.
        version: 'v1' or 'v2', the rules of nnU-Net.
        split: the training cases.

    Returns: the plan's path; `fingerprint_path` tells that of the fingerprint.
    Raises: UserError when the set is unknown, not prepared or no set of volumes, on another
        version or split, and when the file cannot be written.
    Cost: reads every volume once.
    """
    if version not in VERSIONS:
        raise UserError(f"--version {version}: it takes {' or '.join(VERSIONS)}")
    made = store.ensure_prepared(name, data_dir)
    if not (hasattr(made, "CLASSES") and hasattr(made, "MODALITIES")):
        raise UserError(f"{name}: not a set of volumes, which plans are made for")
    store.check_split(made, split, path="--split")
    # Until its digest is known, so that it is that of the volumes that were measured
    with staging.using(made.data_path):
        measured = compute(
            _volumes(store.open_split(made, split)),
            dataset=name,
            classes=made.CLASSES,
            modalities=made.MODALITIES,
        )
        # The plan remembers the data that it was measured on, for `train` to compare
        fingerprint = dataclasses.replace(measured, data=digest.of(made), split=split)
    if output is None:
        output = pathlib.Path(data_dir) / FOLDER / f"{name.replace('/', '-')}-{version}.json"
    path = pathlib.Path(output)
    # The plan last: where it is, its fingerprint is too
    _write(fingerprint_path(path), fingerprint.to_json())
    _write(path, plan_2d(fingerprint, version).to_json())
    return path


def fingerprint_path(plan: str | os.PathLike) -> pathlib.Path:
    """Where `write_plan` keeps the fingerprint of a plan: PLAN.fingerprint.json."""
    return pathlib.Path(plan).with_suffix(".fingerprint.json")


def plans_of(
    name: str, digests: Collection[str], data_dir: str | os.PathLike
) -> dict[pathlib.Path, Plan]:
    """The plans beside the prepared sets that were made of a set, by its name or its digests."""
    found = {}
    for path in sorted(pathlib.Path(data_dir, FOLDER).glob("*.json")):
        with contextlib.suppress(UserError):  # a fingerprint, or something of the user's
            plan = read_plan(path)
            if plan.dataset == name or plan.data in digests:
                found[path] = plan
    return found


def read_fingerprint(path: str | os.PathLike) -> Fingerprint:
    """The fingerprint in a JSON file; UserError naming the file when missing or damaged."""
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a fingerprint: {error}") from error
    return Fingerprint.from_json(text, source=str(path))


def _volumes(examples) -> Iterator[tuple]:
    for example in examples:
        yield example["image"], example["labels"], example["spacing"]


def _write(path: pathlib.Path, text: str) -> None:
    """Writes a file whole or not at all."""
    try:
        files.write_text(path, text)
    except OSError as error:
        raise UserError(f"{path}: cannot write the plan: {error}") from error


def describe(plan: Plan, fingerprint: Fingerprint) -> str:
    """A plan in words: what it says and, in a few words, why."""
    axes = ", ".join("dhw"[axis] for axis in plan.transposition)
    rows = [
        ("data set", f"{plan.dataset}, {fingerprint.cases} training cases"),
        ("classes", f"background, {', '.join(plan.classes)}"),
        ("channels", ", ".join(plan.modalities)),
        ("sizes", f"{_range(fingerprint.sizes)} voxels (d, h, w), cropped to what is not zero"),
        ("spacings", f"{_range(fingerprint.spacings)} mm"),
        ("axes", f"{axes}: the one of largest spacing first, which is not resampled"),
        ("grid", f"{_times(plan.spacing)} mm: {_why_grid(plan, fingerprint)}"),
        ("median case", f"{_times(plan.median_shape)} voxels of that grid"),
        ("patch", f"{_times(plan.patch_size)} pixels: {_why_patch(plan)}"),
        ("pooling", f"{_times(plan.pools)} times, down to {_times(_bottom(plan))} pixels"),
        ("strides", _stages(plan.strides)),
        ("kernels", _stages(plan.kernels)),
        ("features", f"{', '.join(map(str, plan.features))}: doubled up to {max(plan.features)}"),
        ("batch", f"{plan.batch_size} slices: {_why_batch(plan, fingerprint)}"),
        *(("normalise", line) for line in _normalization(plan)),
        ("rules", f"nnU-Net {plan.version}, 2-D; fingerprint {plan.fingerprint}"),
    ]
    return "\n".join(f"{name:<12} {text}" for name, text in rows)


def _times(numbers) -> str:
    return " x ".join(f"{number:.5g}" for number in numbers)


def _range(rows) -> str:
    """The smallest and the largest of each column."""
    columns = list(zip(*rows, strict=True))
    low, high = _times(map(min, columns)), _times(map(max, columns))
    return low if low == high else f"{low} to {high}"


def _stages(pairs) -> str:
    return ", ".join(f"{height}x{width}" for height, width in pairs)


def _bottom(plan: Plan) -> list[int]:
    return [size >> pools for size, pools in zip(plan.patch_size, plan.pools, strict=True)]


def _why_grid(plan: Plan, fingerprint: Fingerprint) -> str:
    axis = plan.transposition[0]
    median = statistics.median(spacing[axis] for spacing in fingerprint.spacings)
    # Two ways of taking a median, which may differ in the last digit
    finer = not math.isclose(median, plan.spacing[0], rel_tol=1e-9)
    return "the median spacing" + (", finer across the slices" if finer else "")


def _why_patch(plan: Plan) -> str:
    multiples = _times(2**pools for pools in plan.pools)
    pairs = zip(plan.patch_size, plan.median_shape[1:], strict=True)
    whole = all(size >= median for size, median in pairs)
    what = "the median slice" if whole else "what fits into memory twice"
    return f"{what}, in multiples of {multiples}"


def _why_batch(plan: Plan, fingerprint: Fingerprint) -> str:
    voxels = fingerprint.cases * math.prod(plan.median_shape)
    if plan.batch_size <= SMALLEST_BATCH:
        return "the smallest taken"
    if plan.batch_size >= round(SHARE * voxels / math.prod(plan.patch_size)):
        return f"{SHARE:.0%} of all training voxels, though memory holds more"
    return "what fits into memory"


def _normalization(plan: Plan) -> list[str]:
    """A line for each channel, or one for all alike."""
    lines = {}
    for name, scheme, masked, of in zip(
        plan.modalities, plan.normalization, plan.use_mask, plan.intensities, strict=True
    ):
        if scheme == "CT":
            ends = f"{of.percentile_00_5:.4g} to {of.percentile_99_5:.4g}"
            text = f"clipped to {ends}, less {of.mean:.4g}, over {of.sd:.4g}: of all foreground"
        elif masked:
            text = f"z-score of each case within the object: crops keep under {TIGHT:.0%}"
        else:
            text = "z-score of each case"
        lines.setdefault(text, []).append(name)
    return [f"{', '.join(names)}: {text}" for text, names in lines.items()]
