"""Bundles of nerve fibres: how they run from the disc around the macula."""

import numpy as np

RAPHE = 2.0  # degrees from the horizontal, where the fibres of both halves meet
DISC = 4.0  # degrees of visual angle from the disc's centre at which a fibre's angle is counted
FOVEA = 15.0  # degrees of visual angle from the disc's centre to the fovea


def fibres(angles: np.ndarray, up: bool, away: np.ndarray, fovea: float) -> np.ndarray:
    """Points of the fibres that leave the disc at `angles`, eye units.

    phi(r) = phi0 + b (r - 4)^c in polar coordinates around the disc, r in degrees of visual angle
    and phi from the nasal side, with
        ln b = -1.9 + 3.9 tanh((121 - phi0) / 14), c = 1.9 + 1.4 tanh((phi0 - 121) / 14) above and
        ln b = 0.5 + 1.5 tanh((90 - phi0) / 25),   c = 1.0 + 0.5 tanh((phi0 - 90) / 25) below.

    Source: Jansonius et al., Vision Research 49, 2009, with its erratum (50, 2010).
    Departures: the fovea lies on the x axis, where the paper has the disc 2 degrees above it; the
        fibres run straight over the disc, and along the raphe once they have come to it.

    Args:
        angles: `[k]`, degrees from the direction of the fovea, 0 to 120.
        up: True for the superior half.
        away: `[n]`, distances from the disc's centre, eye units.
        fovea: its distance from the disc's centre, eye units.

    Returns:
        `[k, n, 2]`.
    """
    angles = np.asarray(angles)[:, None]
    start = 180.0 - angles
    if up:
        bend = np.exp(-1.9 + 3.9 * np.tanh((121 - start) / 14))
        power = 1.9 + 1.4 * np.tanh((start - 121) / 14)
    else:
        bend = np.exp(0.5 + 1.5 * np.tanh((90 - start) / 25))
        power = 1.0 + 0.5 * np.tanh((start - 90) / 25)
    degrees = np.maximum(away * FOVEA / fovea - DISC, 0)
    turned = np.deg2rad(np.maximum(angles - bend * degrees**power, RAPHE))
    return np.stack([away * np.cos(turned), (-away if up else away) * np.sin(turned)], -1)


def ribbons(middles: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Lines `[..., n, 2]` of widths `[..., n]` as polygons `[..., 2n, 2]`."""
    way = np.gradient(middles, axis=-2)
    way /= np.maximum(np.hypot(way[..., 0], way[..., 1]), 1e-9)[..., None]
    side = np.stack([-way[..., 1], way[..., 0]], -1) * widths[..., None] / 2
    return np.concatenate([middles + side, (middles - side)[..., ::-1, :]], -2)
