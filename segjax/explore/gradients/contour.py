"""Gradient of the active contour loss, each difference carried back to the pixels it came from."""

import itertools

import numpy as np

from segjax.explore.gradients import planes
from segjax.explore.gradients.planes import Optional

LENGTH_FLOOR, CURVATURE_FLOOR = 1e-8, 1e-3


def active_contour(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    length: float = 1.0,
    region: float = 1.0,
    curvature: float = 0.0,
    alignment: str = "pixel",
    where: Optional = None,
) -> np.ndarray:
    """dL/du = region [(1 - v)^2 - v^2] / N + length sum_a D_a^T (d_a u / |grad u|) / M + bending.

    D_a is the difference along an axis and D_a^T carries its value back: + to the one pixel, - to
    the other. M counts the differences; the mean over the foreground classes comes last.

    Source: Chen et al. (2019), the Euler-Lagrange equation of its terms, on the grid of pixels.
    """
    logits = np.asarray(logits, np.float64)
    where = planes.known(logits, where, labels)
    count = planes.counted(logits, where)[..., 0]
    u, v = planes.softmax(logits, where), planes.targets(labels, logits)
    v = np.where(count[..., None] > 0, v, 0)
    g, classes = np.zeros_like(u), range(1, u.shape[-1])
    for k in classes:
        slope = (1 - v[..., k]) ** 2 - v[..., k] ** 2
        slope = region * count * slope / planes.number_of_pixels(count)
        slope += length * _length(u[..., k], count, alignment)
        if curvature:
            slope += curvature * _bending(u[..., k], count)
        g[..., k] = slope / len(classes)
    return planes.through_softmax(u, g, logits)


def _length(u, count, alignment):
    """The gradient of the mean of sqrt(sum_a (d_a u)^2 + 1e-8)."""
    # 'repo' takes each difference one pixel further along its own axis, as the published code does
    near, far, margin = (0, 1, (0, 1)) if alignment == "pixel" else (1, 2, (0, 2))
    ends = [(_at(u, a, far, margin), _at(u, a, near, margin)) for a in range(u.ndim - 1)]
    differences = [u[ahead] - u[behind] for ahead, behind in ends]
    # A place counts where both ends of all its differences do
    w = count[_at(u, 0, 0, margin)]
    for ahead, behind in ends:
        w = w * count[ahead] * count[behind]
    share = w / planes.number_of_pixels(w)
    size = np.sqrt(sum(d**2 for d in differences) + LENGTH_FLOOR)
    return _back(u, ends, [share * d / size for d in differences])


def _bending(u, count):
    """The gradient of the mean of kappa^2 |grad u|, kappa = (|g|^2 tr H - g^T H g) / Q^(3/2).

    Q = |g|^2 + 1e-3. dkappa/dg = (2 tr H g - 2 H g) / Q^(3/2) - 3 kappa g / Q, dkappa/dH =
    (|g|^2 1 - g g^T) / Q^(3/2); g and H are sums of the neighbours at `steps` times their factors.
    """
    axes = range(u.ndim - 1)
    # {steps: factor}, steps as pairs of axis and pixels; () is the pixel itself
    stencils = [{((a, 1),): 0.5, ((a, -1),): -0.5} for a in axes]
    hessian = {(a, a): {((a, 1),): 1, ((a, -1),): 1, (): -2} for a in axes}
    for a, b in itertools.combinations(axes, 2):
        signs = itertools.product((1, -1), repeat=2)
        hessian[a, b] = {((a, i), (b, j)): i * j / 4 for i, j in signs}
    g = [_apply(u, stencil) for stencil in stencils]
    h = {place: _apply(u, stencil) for place, stencil in hessian.items()}
    h |= {(b, a): value for (a, b), value in h.items()}
    squares, trace = sum(x**2 for x in g), sum(h[a, a] for a in axes)
    # H g
    bent = [sum(h[a, b] * g[b] for b in axes) for a in axes]
    q = squares + CURVATURE_FLOOR
    kappa = (squares * trace - sum(x * y for x, y in zip(g, bent, strict=True))) / q**1.5
    size = np.sqrt(squares + LENGTH_FLOOR)
    # The stencils reach all neighbours, diagonal ones too: a place counts where all of them do
    boxes = itertools.product((-1, 0, 1), repeat=u.ndim - 1)
    w = np.prod([count[_near(count, tuple(enumerate(box)))] for box in boxes], axis=0)
    share = w / planes.number_of_pixels(w)
    by_kappa, gradient = 2 * share * kappa * size, np.zeros_like(u)
    for a in axes:
        slope = by_kappa * (2 * (trace * g[a] - bent[a]) / q**1.5 - 3 * kappa * g[a] / q)
        # The second part is kappa^2 times the derivative of |grad u|
        _add(gradient, stencils[a], slope + share * kappa**2 * g[a] / size)
    # A mixed derivative stands once here and twice in the matrix: hence the factor 2
    for (a, b), stencil in hessian.items():
        slope = (squares - g[a] ** 2) if a == b else -2 * g[a] * g[b]
        _add(gradient, stencil, by_kappa * slope / q**1.5)
    return gradient


def _apply(x, stencil):
    """The sum of the neighbours at some steps times their factors, at all but the border pixels."""
    return sum(factor * x[_near(x, steps)] for steps, factor in stencil.items())


def _add(total, stencil, values):
    """Carries values back to the neighbours they came from."""
    for steps, factor in stencil.items():
        total[_near(total, steps)] += factor * values


def _near(x, steps):
    """The slices of all but the border pixels, moved by `steps`, pairs of axis and pixels."""
    moved = dict(steps)
    ends = ((1 + moved.get(a, 0), n - 1 + moved.get(a, 0)) for a, n in enumerate(x.shape[1:]))
    return (slice(None), *(slice(first, last) for first, last in ends))


def _at(x, axis, by, margin):
    """The slices of the pixels inside `margin` of every spatial axis, moved by `by` along one."""
    first, last = margin
    slices = [slice(first, n - last) for n in x.shape[1:]]
    slices[axis] = slice(first + by, x.shape[1 + axis] - last + by)
    return (slice(None), *slices)


def _back(x, ends, values):
    """sum_a D_a^T values_a, in the shape of x."""
    total = np.zeros_like(x)
    for (ahead, behind), value in zip(ends, values, strict=True):
        total[ahead] += value
        total[behind] -= value
    return total
