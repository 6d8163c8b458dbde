"""Thinning of a volume to its skeleton without change of its topology. On the host.

scikit-image's three-dimensional `skeletonize` deletes whole objects of even width (its issue 3757),
so volumes are thinned here, and planes there.
"""

import itertools

import numpy as np

# The 27 voxels around and at a voxel, numbered 0 to 26, the voxel itself being 13.
POSITIONS = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
CENTRE = 13
FACES = [k for k in range(27) if np.abs(POSITIONS[k]).sum() == 1]
# Opposite faces follow each other, so that thinning closes in on the middle.
DIRECTIONS = sorted(FACES, key=lambda k: np.abs(POSITIONS[k]).argmax())


def _neighbours(k: int, reach: int, within: list[int]) -> int:
    """Bit mask of the positions `within` that touch position k, the centre left out."""
    steps = np.abs(POSITIONS - POSITIONS[k])
    near = (steps.max(1) == 1) & (steps.sum(1) <= reach)
    return sum(1 << int(j) for j in within if near[j] and j != CENTRE)


ALL = list(range(27))
NEAR = [k for k in ALL if np.abs(POSITIONS[k]).sum() <= 2]  # share a face or an edge with it
AROUND = np.array([_neighbours(k, 3, ALL) for k in ALL])  # 26-adjacency, of the object
BESIDE = np.array([_neighbours(k, 1, NEAR) for k in ALL])  # 6-adjacency, of the background
FACE_BITS = sum(1 << k for k in FACES)
NEAR_BITS = sum(1 << k for k in NEAR if k != CENTRE)


def thin(volume: np.ndarray) -> np.ndarray:
    """The skeleton of a binary volume `[d, h, w]`: lines one voxel wide, surfaces shrunk to lines.

    Voxels of the border are deleted, one of six directions after the other, where that changes no
    object, tunnel or cavity (26-connected objects) and takes no end of a line. Within a direction
    the eight classes of voxels of equal parity take turns: no two of one class touch, so deleting
    all at once is deleting one by one.

    Source: Lee, Kashyap and Chu (1994) for the order; Bertrand and Malandain (1994) for what may be
    deleted. Departures: parity classes in place of a scan.
    """
    # In C order whatever the volume's own, for voxels are deleted through the flat view.
    # A margin of one, so that every voxel has 26 neighbours within the array
    padded = np.ascontiguousarray(np.pad(volume, 1))
    flat = padded.reshape(-1)
    steps = POSITIONS @ (np.array(padded.strides) // padded.itemsize)
    points = np.flatnonzero(flat)
    deleted = True
    while deleted:
        deleted = False
        for direction in DIRECTIONS:
            border = points[~flat[points + steps[direction]]]
            coordinates = np.unravel_index(border, padded.shape)
            parity = sum((c & 1) << axis for axis, c in enumerate(coordinates))
            for turn in range(8):
                chosen = border[parity == turn]
                if not chosen.size:
                    continue
                chosen = chosen[_deletable(_codes(flat, chosen, steps))]
                flat[chosen] = False
                deleted |= chosen.size > 0
            # What is deleted stays so: the passes that follow look at fewer points.
            points = points[flat[points]]
    return padded[1:-1, 1:-1, 1:-1]


def _codes(flat: np.ndarray, points: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The neighbourhood of each point as 27 bits, the point's own left out."""
    codes = np.zeros(points.shape, np.int64)
    for k in ALL:
        if k != CENTRE:
            codes |= flat[points + steps[k]].astype(np.int64) << k
    return codes


def _deletable(codes: np.ndarray) -> np.ndarray:
    """Whether a voxel with this neighbourhood is simple and not the end of a line."""
    # Equal neighbourhoods are judged once: few of the 2^26 occur.
    kinds, where = np.unique(codes, return_inverse=True)
    # At most one bit: a voxel alone, or the end of a line
    end = kinds & (kinds - 1) == 0
    # Simple: the object around is one piece, and so is the background that shares a face with it.
    one_object = _flood(kinds & -kinds, kinds, AROUND) == kinds
    outside = ~kinds & NEAR_BITS
    faces = outside & FACE_BITS
    one_outside = _flood(faces & -faces, outside, BESIDE) & FACE_BITS == faces
    return (one_object & one_outside & (faces != 0) & ~end)[where]


def _flood(seeds: np.ndarray, allowed: np.ndarray, adjacent: np.ndarray) -> np.ndarray:
    """The bits of `allowed` that are connected to `seeds`."""
    reached, before = seeds, None
    while before is None or np.any(reached != before):
        before = reached
        for k in ALL:
            # Minus the bit is all ones or 0: it lets through what touches k, where k is reached.
            reached = reached | (-(reached >> k & 1) & adjacent[k] & allowed)
    return reached
