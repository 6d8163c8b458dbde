"""The plan of a 2-D network for a data set of volumes, by the rules of nnU-Net v1 or v2.

From a fingerprint follow the grid, the patch, the pooling, the widths, the batch and the
normalisation. Nothing is tried out: memory is a count of activations.
"""

import dataclasses
import itertools
import math
import os
import pathlib

import numpy as np

from segjax.data.volumes.fingerprint import Fingerprint, Intensity, Record
from segjax.data.volumes.resample import ANISOTROPY, new_shape, through_plane_axis
from segjax.errors import UserError

VERSIONS = ("v1", "v2")
WIDTH = {"v1": 480, "v2": 512}  # the most features of a stage
BASE = 32
CONVOLUTIONS = 2  # in each stage, on the way down and on the way up
SMALLEST_EDGE = 4  # of the feature maps at the bottom
SMALLEST_BATCH = 2
SHARE = 0.05  # of the data set's voxels, the most that one batch may hold
TIGHT = 0.75  # crops that keep less than this leave zeros to be kept out of the normalisation

Pair = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Plan(Record):
    """How to prepare volumes and what 2-D network to train on them.

    `transposition` lists the stored axes in their new order, the through-plane axis first;
    `spacing` and `median_shape` are in that order. A stage is one resolution of the encoder: its
    stride is that of its first convolution, (1, 1) at the top; all else has an entry a stage too.
    """

    dataset: str
    version: str
    fingerprint: str
    classes: tuple[str, ...]
    modalities: tuple[str, ...]
    transposition: tuple[int, int, int]
    spacing: tuple[float, float, float]
    median_shape: tuple[int, int, int]
    patch_size: tuple[int, int]
    strides: tuple[tuple[int, int], ...]
    kernels: tuple[tuple[int, int], ...]
    features: tuple[int, ...]
    batch_size: int
    normalization: tuple[str, ...]
    use_mask: tuple[bool, ...]
    intensities: tuple[Intensity, ...]
    data: str = ""  # digest of the prepared set that it was made for; not known of older plans
    split: str = ""

    @property
    def pools(self) -> Pair:
        """How often each axis is halved."""
        return tuple(sum(stride[axis] == 2 for stride in self.strides) for axis in range(2))


@dataclasses.dataclass(frozen=True)
class Topology:
    """What follows from the size of a patch."""

    patch: Pair
    strides: tuple[Pair, ...]
    kernels: tuple[Pair, ...]

    @property
    def multiple(self) -> Pair:
        """What the sizes of the patch are multiples of."""
        return tuple(math.prod(stride[axis] for stride in self.strides) for axis in range(2))


def plan_2d(fingerprint: Fingerprint, version: str = "v1") -> Plan:
    """The plan that nnU-Net makes for a 2-D network.

    **Source**: nnU-Net v1, planner 2-D v2.1, as frozen by Valverde and Tohka (2022); nnU-Net v2,
    `ExperimentPlanner`, configuration 2d with 8 GB of memory.
    **Departures**: spacings within 0.1 % tie when the through-plane axis is sought. v1 refuses
    patches too large for a batch of two; here they get a batch of two. v1 plans with 512 features
    at most and builds 480, which `features` says. v2 draws its intensity statistics at random;
    they are those of every tenth foreground voxel in both versions here.

    Args:
        fingerprint: of the training cases.
        version: 'v1' or 'v2'.

    Returns: the plan.
    Raises: ValueError on another version.
    """
    if version not in VERSIONS:
        raise ValueError(f"`version` takes 'v1' or 'v2', got {version!r}")
    spacing = _target_spacing(fingerprint, version)
    median = _median_shape(fingerprint, spacing, version)
    # Of the medians: a finer target may come within rounding of the pixels of a slice.
    axis = through_plane_axis(np.median(fingerprint.spacings, axis=0))
    # The two axes of a slice keep their order, so that slices are not transposed
    transposition = (axis, *(other for other in range(3) if other != axis))
    spacing, median = spacing[list(transposition)], median[list(transposition)]
    channels, classes = len(fingerprint.modalities), len(fingerprint.classes) + 1
    if version == "v1":
        topology, batch = _patch_v1(spacing[1:], median[1:], channels, classes)
    else:
        topology, batch = _patch_v2(spacing[1:], median[1:], classes)
    voxels = fingerprint.cases * np.prod(median)
    # Otherwise a batch of small slices might hold much of a small set
    cap = round(SHARE * voxels / math.prod(topology.patch))
    schemes = ["CT" if name.upper() == "CT" else "zscore" for name in fingerprint.modalities]
    tight = bool(np.median(fingerprint.reductions) < TIGHT)
    return Plan(
        dataset=fingerprint.dataset,
        version=version,
        fingerprint=fingerprint.digest(),
        classes=fingerprint.classes,
        modalities=fingerprint.modalities,
        transposition=transposition,
        spacing=tuple(float(size) for size in spacing),
        median_shape=tuple(int(size) for size in np.round(median)),
        patch_size=topology.patch,
        strides=topology.strides,
        kernels=topology.kernels,
        features=_features(len(topology.strides), BASE, WIDTH[version]),
        batch_size=max(SMALLEST_BATCH, min(batch, cap)),
        normalization=tuple(schemes),
        use_mask=tuple(tight and scheme == "zscore" for scheme in schemes),
        intensities=fingerprint.intensities,
        data=fingerprint.data,
        split=fingerprint.split,
    )


def read_plan(path: str | os.PathLike) -> Plan:
    """The plan in a JSON file; UserError naming the file when it is missing or damaged."""
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a plan: {error}") from error
    plan = Plan.from_json(text, source=str(path))
    if fault := _fault(plan):
        raise UserError(f"{path}: {fault}")
    return plan


def _fault(plan: Plan) -> str | None:
    """What does not fit together in a plan, as after an edit by hand."""
    stages, channels = len(plan.strides), len(plan.modalities)
    if plan.version not in VERSIONS:
        return f"version is {plan.version!r}, it takes 'v1' or 'v2'"
    if sorted(plan.transposition) != [0, 1, 2]:
        return f"transposition is {list(plan.transposition)}, it takes the axes 0, 1, 2 once each"
    for name in ("kernels", "features"):
        if len(getattr(plan, name)) != stages:
            return f"{name} has {len(getattr(plan, name))} stages, but strides {stages}"
    for name in ("normalization", "use_mask", "intensities"):
        if len(getattr(plan, name)) != channels:
            return f"{name} has {len(getattr(plan, name))} entries for {channels} modalities"
    for scheme in plan.normalization:
        if scheme not in ("zscore", "CT"):
            return f"normalization is {scheme!r}, it takes 'zscore' or 'CT'"
    numbers = (plan.patch_size, *plan.strides, *plan.kernels, plan.features, plan.median_shape)
    if min(plan.spacing) <= 0 or plan.batch_size < 1 or min(itertools.chain(*numbers)) < 1:
        return "spacing, sizes, strides, kernels, features and batch_size take positive numbers"
    factor = Topology(plan.patch_size, plan.strides, plan.kernels).multiple
    if any(size % step for size, step in zip(plan.patch_size, factor, strict=True)):
        return f"patch_size is {list(plan.patch_size)}, it takes multiples of {list(factor)}"
    return None


def _target_spacing(fingerprint: Fingerprint, version: str) -> np.ndarray:
    """The median spacing; in v2 a finer one for a coarse axis of few voxels, which the median
    would rob of slices wherever they lie closer."""
    # Axis by axis, in the stored axes; the through-plane axis is found afterwards.
    spacings = np.array(fingerprint.spacings, np.float64)
    target = np.median(spacings, axis=0)
    if version == "v1":
        return target
    sizes = np.median(fingerprint.sizes, axis=0)
    worst = int(np.argmax(target))
    others = [axis for axis in range(3) if axis != worst]
    largest = max(target[others])
    if target[worst] > ANISOTROPY * largest and sizes[worst] * ANISOTROPY < min(sizes[others]):
        finer = np.percentile(spacings[:, worst], 10)
        # Never finer than the pixels of a slice; the margin is nnU-Net's
        target[worst] = finer if finer >= largest else largest + 1e-5
    return target


def _median_shape(fingerprint: Fingerprint, target: np.ndarray, version: str) -> np.ndarray:
    """The median of the sizes on the target grid: rounded after the median in v1, before in v2."""
    pairs = list(zip(fingerprint.sizes, fingerprint.spacings, strict=True))
    if version == "v1":
        return np.round(np.median([np.multiply(n, s) / target for n, s in pairs], axis=0))
    return np.median([new_shape(n, s, target) for n, s in pairs], axis=0)


def _features(stages: int, base: int, most: int) -> tuple[int, ...]:
    return tuple(min(most, base * 2**stage) for stage in range(stages))


def _patch_v1(spacing, median, channels: int, classes: int) -> tuple[Topology, int]:
    """The whole median slice is the patch, and what memory is left goes to the batch."""
    topology = pool_v1(spacing, median)
    # The planner reasons with 30 and at most 512 features, the network has 32 and at most 480.
    features = _features(len(topology.strides), 30, 512)
    pixels = math.prod(topology.patch)
    used = pixels * (channels + classes)
    for stage, width in enumerate(features):
        pixels //= math.prod(topology.strides[stage])
        # Full resolution always counts as five, also where nothing is pooled and it is the last
        bottom = 0 < stage == len(features) - 1
        # Two convolutions down, two up and the upsampling; at the bottom only two.
        used += (CONVOLUTIONS if bottom else 2 * CONVOLUTIONS + 1) * pixels * width
    # nnU-Net's reference: of a patch that counts 19739648 it takes batches of 50
    return topology, 19739648 * 50 // used


def _patch_v2(spacing, median, classes: int) -> tuple[Topology, int]:
    """The median slice, made smaller until two of it fit into memory."""
    reference, batch = 85e6, 12  # activations of one patch that fill 8 GB in a batch of 12
    first = np.round(2048 * np.sqrt(np.prod(spacing)) / spacing)  # 2048^2 pixels in all
    topology = pool_v2(spacing, np.minimum(first, median))
    # `reference` is what one patch may count in a batch of 12; in a batch of two it may count 6
    # times as much.
    while (used := _activations(topology, classes)) / batch * 2 > reference:
        relative = [size / whole for size, whole in zip(topology.patch, median, strict=True)]
        # The axis that keeps most of the median slice; on a tie the last, as `argsort()[-1]` there
        axis = max(range(2), key=lambda axis: (relative[axis], axis))
        # The step comes from a patch one step smaller, which may be pooled less: else sizes that
        # are as good would be skipped.
        smaller = list(topology.patch)
        smaller[axis] -= topology.multiple[axis]
        step = pool_v2(spacing, smaller).multiple[axis]
        smaller[axis] = topology.patch[axis] - step
        topology = pool_v2(spacing, smaller)
    return topology, round(reference / used * batch)


def _activations(topology: Topology, classes: int) -> int:
    """Outputs of all convolutions of the network on one patch, as nnU-Net v2 counts them."""
    features = _features(len(topology.strides), BASE, WIDTH["v2"])
    # `count` begins with the map of classes at full resolution, the only one that is counted
    sizes, count = topology.patch, math.prod(topology.patch) * classes
    for stage, width in enumerate(features):
        sizes = tuple(n // step for n, step in zip(sizes, topology.strides[stage], strict=True))
        # Every stage but the last is passed again on the way up, after an upsampling.
        last = stage == len(features) - 1
        count += (CONVOLUTIONS if last else 2 * CONVOLUTIONS + 1) * math.prod(sizes) * width
    return count


def pool_v1(spacing, shape) -> Topology:
    """Strides and kernels of v1: halve the axes whose spacing is within twice the smallest one.

    A kernel is 3 along the axes that are within a factor of 2 of each other, else 1.
    """
    spacing, size = list(spacing), list(shape)
    strides, kernels = [(1, 1)], []
    while True:
        # A coarse axis is left alone until halving has made the other one as coarse
        alike = max(spacing) / min(spacing) < 2
        pooled = [size[a] >= 2 * SMALLEST_EDGE and spacing[a] / min(spacing) < 2 for a in range(2)]
        if not any(pooled):
            break
        # Where the two axes differ, the partners are found from the first axis: itself alone.
        kernels.append((3, 3) if alike else (3, 1))
        strides.append(_halve(pooled, spacing, size))
    return _topology(shape, strides, kernels)


def pool_v2(spacing, shape) -> Topology:
    """Strides and kernels of v2: as v1, but an axis too short to be halved holds up no other.

    The last axis left needs 12 pixels instead of 8; a kernel that became 3 stays so.
    """
    spacing, size = list(spacing), list(shape)
    strides, kernels, kernel = [(1, 1)], [], [1, 1]
    while True:
        long = [a for a in range(2) if size[a] >= 2 * SMALLEST_EDGE]
        # Unlike in v1, only axes that can still be halved are compared
        finest = min((spacing[a] for a in long), default=0)
        pooled = [a in long and spacing[a] / finest < 2 for a in range(2)]
        left = [size[a] for a in range(2) if pooled[a]]
        if not left or (len(left) == 1 and left[0] < 3 * SMALLEST_EDGE):
            break
        kernel = [3 if spacing[a] / min(spacing) < 2 else kernel[a] for a in range(2)]
        kernels.append(tuple(kernel))
        strides.append(_halve(pooled, spacing, size))
    return _topology(shape, strides, kernels)


def _halve(pooled: list[bool], spacing: list, size: list) -> Pair:
    """The stride of one pooling, applied to `spacing` and `size` in place."""
    for axis in range(2):
        if pooled[axis]:
            spacing[axis] *= 2
            # Rounded up, for the patch is padded to what the strides divide in the end
            size[axis] = math.ceil(size[axis] / 2)
    return tuple(1 + bool(pool) for pool in pooled)


def _topology(shape, strides: list[Pair], kernels: list[Pair]) -> Topology:
    """The patch padded to what the strides need; the bottom always has kernels of 3."""
    factor = [math.prod(stride[axis] for stride in strides) for axis in range(2)]
    patch = tuple(math.ceil(size / step) * step for size, step in zip(shape, factor, strict=True))
    return Topology(patch, tuple(strides), (*kernels, (3, 3)))
