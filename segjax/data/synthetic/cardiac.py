"""A cardiac phantom: short-axis MR of a few thick slices with the labels of the ventricles.

For trying a pipeline, a loss or an installation without a download: nothing measured on it says
anything about patients.
"""

import dataclasses

import cv2
import numpy as np

from segjax import checks
from segjax.data.synthetic.cardiac_anatomy import (
    BRIGHTNESS,
    CLASS_OF,
    PHASES,
    Tissue,
    sample_heart,
    sample_surroundings,
    stream,
    turned,
)

CLASSES = ("RV", "M", "LV")
MODALITIES = ("MR",)
SMALLEST = 32
CANVAS = 256  # outlines are filled on a canvas of at least this size
FRACTION = 16  # cv2 takes vertices in sixteenths of a pixel (shift 4)
DEPTHS = (-0.3, 0.0, 0.3)  # where a slice is looked at, in slice distances: thick slices blur


@dataclasses.dataclass(frozen=True, eq=False)
class Scan:
    """How a patient lies in the scanner.

    Attributes:
        field: side of the square field of view, mm.
        gap: distance of the slices, mm.
        first: z of the first slice, mm from the base of the heart.
        slices: how many.
        turn: by which the chest is turned in the plane.
        middle: the heart's axis in shares of the field.
        steps: `[slices, 2]`, mm by which a slice is off, as breath is held anew for each.
        origin: the file's own origin (x, y, z), mm.
    """

    field: float
    gap: float
    first: float
    slices: int
    turn: float
    middle: np.ndarray
    steps: np.ndarray
    origin: np.ndarray


def sample_scan(seed: int) -> Scan:
    """The scan of a patient, the same for both phases."""
    rng = stream(seed, 3)
    # Of the heart in diastole for both phases: a patient is scanned in one stack of slices
    apex = sample_heart(seed, "ED").apex
    gap = round(rng.uniform(9.7, 10.3), 1)
    first = -gap * rng.uniform(0.3, 1.6)
    slices = int(np.clip(np.ceil((apex - first) / gap) + rng.integers(0, 2), 6, 12))
    return Scan(
        field=rng.uniform(188, 202),
        gap=gap,
        first=first,
        slices=slices,
        turn=rng.normal(0.6, 0.6),
        middle=rng.uniform(0.4, 0.6, 2),
        steps=rng.normal(0, 0.8, (slices, 2)),
        origin=rng.uniform(-150, 150, 3).round(1),
    )


def _paint(solids: list, scan: Scan, index: int, depth: float, side: int) -> np.ndarray:
    """The tissues of one plane, uint8 `[side, side]`."""
    plane = np.zeros((side, side), np.uint8)
    z = scan.first + (index + depth) * scan.gap
    scale = side / scan.field
    around = turned(scan.turn) * scale
    # To cv2's coordinates, in which the centre of a pixel is a whole number
    middle = scan.middle * side + scan.steps[index] * scale - 0.5
    # The painter's order: what comes later hides what is below
    for solid in solids:
        for tissue, outline in solid.sections(z):
            vertices = np.rint((outline @ around + middle) * FRACTION).astype(np.int32)
            cv2.fillPoly(plane, [vertices], int(tissue), cv2.LINE_8, 4)
    return plane


def _covers(seed: int, phase: str, scan: Scan, size: int) -> np.ndarray:
    """Of every voxel the mean brightness and the shares of RV, M, LV, float32 `[d, h, w, 4]`."""
    heart = sample_heart(seed, phase)
    solids = [*sample_surroundings(seed, heart), heart]
    rng = stream(seed, 4)
    # One row a tissue: brightness, then 1 in the column of its class. Averaged over the finer
    # pixels of a plane, a look-up gives partial volumes of both at once.
    table = np.zeros((len(Tissue), 4), np.float32)
    for tissue in Tissue:
        table[tissue, 0] = rng.uniform(*BRIGHTNESS[tissue])
        if tissue in CLASS_OF:
            table[tissue, CLASS_OF[tissue]] = 1
    # A whole multiple of the size, so that area averages take whole blocks of pixels
    side = size * max(2, -(-CANVAS // size))
    volume = np.zeros((scan.slices, size, size, 4), np.float32)
    for index in range(scan.slices):
        for depth in DEPTHS:
            plane = np.take(table, _paint(solids, scan, index, depth, side), axis=0)
            volume[index] += cv2.resize(plane, (size, size), interpolation=cv2.INTER_AREA)
    return volume / np.float32(len(DEPTHS))


def _clouds(rng: np.random.Generator, cells: int, slices: int, size: int) -> np.ndarray:
    """Smooth noise of about unit size `[slices, size, size]`, `cells` hills along a side."""
    # Slices as channels, which one call resizes together
    coarse = rng.standard_normal((cells, cells, slices)).astype(np.float32)
    fine = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.moveaxis(fine.reshape(size, size, slices), -1, 0)


def _acquire(brightness: np.ndarray, seed: int, phase: str) -> np.ndarray:
    """What the scanner makes of the true brightness `[d, h, w]`: coils, flow and noise."""
    slices, size = brightness.shape[:2]
    # The coil is that of the patient; noise also depends on phase and size, further below.
    coil = stream(seed, 5)
    line = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / size - np.float32(0.5)
    y, x = line[:, None], line[None, :]
    slope, bend = coil.uniform(-0.9, 0.9, 2), coil.uniform(-1.2, 1.2, 3)
    # A polynomial of second degree in the exponent: smooth, and nowhere below 0
    bias = np.exp(
        np.float32(slope[0]) * x
        + np.float32(slope[1]) * y
        + np.float32(bend[0]) * x * x
        + np.float32(bend[1]) * x * y
        + np.float32(bend[2]) * y * y
    )
    gain, noise = coil.uniform(150, 700), coil.uniform(0.02, 0.045)
    rng = stream(seed, 6, PHASES.index(phase), size)
    texture = np.exp(
        np.float32(0.06) * _clouds(rng, 24, slices, size)
        + np.float32(0.1) * _clouds(rng, 9, slices, size)
    )
    signal = brightness * texture * bias
    real, imaginary = rng.standard_normal((2, *signal.shape), np.float32) * np.float32(noise)
    return np.float32(gain) * np.hypot(signal + real, imaginary)  # noise of magnitudes is Rician


def generate_cardiac(seed: int, size: int, phase: str = "ED") -> dict:
    """A synthetic short-axis cardiac MR volume and the labels of its ventricles.

    The patient (heart, organs, brightness, how the slices lie) depends on `seed` alone; `phase` is
    the end of diastole or of systole of the same heart; `size` decides how finely it is sampled,
    and the noise. The labels are those of most of a voxel.

    Source: a phantom of our own. Sizes follow textbook anatomy, but for a heart about a tenth too
    small; classes, file names and rarity are those of ACDC (Bernard et al., 2018).
    Departures: none.

    Args:
        seed: which patient, a whole number from 0.
        size: height and width of a slice in pixels, from 32.
        phase: 'ED' or 'ES'.

    Returns:
        A dict. `image` float32 `[d, size, size, 1]`, d from 6 to 12, base first; `labels` uint8
        `[d, size, size]`, 1 right ventricle, 2 myocardium, 3 left ventricle; `spacing` float32
        `[3]`, mm along (d, h, w); `affine` float64 `[4, 4]`, in the order (x, y, z) of files;
        `image_id` str such as `patient0001_ED`; `patient` and `phase` str.

    Empty cases: slices above the base and below the apex have no label.

    Raises:
        ValueError: `seed` is below 0, `size` below 32, or another `phase`.
    """
    checks.check("seed", seed, checks.whole(least=0))
    checks.check("size", size, checks.whole(least=SMALLEST))
    checks.check("phase", phase, checks.choice(PHASES))
    scan = sample_scan(seed)
    covers = _covers(seed, phase, scan, size)
    shares = covers[..., 1:]
    # The background is a class like the others here, and wins where it has the largest share
    rest = 1 - shares.sum(-1, keepdims=True)
    labels = np.concatenate([rest, shares], -1).argmax(-1).astype(np.uint8)
    spacing = np.array([scan.gap, scan.field / size, scan.field / size])
    affine = np.diag([*spacing[::-1], 1.0])
    affine[:3, 3] = scan.origin
    patient = f"patient{seed:04d}"
    return {
        "image": _acquire(covers[..., 0], seed, phase)[..., None],
        "labels": labels,
        "spacing": spacing.astype(np.float32),
        "affine": affine,
        "image_id": f"{patient}_{phase}",
        "patient": patient,
        "phase": phase,
    }
