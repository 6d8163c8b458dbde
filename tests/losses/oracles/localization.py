"""The localisation losses from their equations, in NumPy float64, one image at a time."""

import numpy as np

from tests.losses.cases import Case


def multiscale_softmax_cross_entropy(
    heatmap, points, scales=None, pool="max", reduce="sum", scale_weights=None
):
    values = []
    for image, (x, y) in zip(np.asarray(heatmap, np.float64), points, strict=True):
        height, width = image.shape
        deepest = scales or int(np.log2(min(height, width)))
        column = int(min(max(np.floor(x), 0), width - 1))
        row = int(min(max(np.floor(y), 0), height - 1))
        total = 0.0
        for m in range(1, deepest + 1):
            cell = 2 ** (m - 1)
            level = _blocks(image, cell, pool)
            weight = 1.0 if scale_weights is None else scale_weights[m - 1]
            columns = getattr(np, reduce)(level, axis=0)
            rows = getattr(np, reduce)(level, axis=1)
            total += weight * _cross_entropy(columns, column // cell)
            total += weight * _cross_entropy(rows, row // cell)
        values.append(total)
    return np.array(values)


def _blocks(image, cell, pool):
    # Pooling 2 x 2 again and again is pooling once over whole blocks.
    height, width = image.shape
    pick = np.max if pool == "max" else np.mean
    return np.array(
        [
            [pick(image[i : i + cell, j : j + cell]) for j in range(0, width, cell)]
            for i in range(0, height, cell)
        ]
    )


def _cross_entropy(logits, index):
    top = logits.max()
    return top + np.log(np.sum(np.exp(logits - top))) - logits[index]


def coordinate_mean_squared_error(heatmap, points, reduce="sum"):
    values = []
    for image, point in zip(np.asarray(heatmap, np.float64), points, strict=True):
        error = []
        for axis in (0, 1):
            weights = 1 / (1 + np.exp(-getattr(np, reduce)(image, axis=axis)))
            positions = np.arange(len(weights)) + 0.5
            predicted = np.sum(weights * positions) / np.sum(weights)
            error.append((predicted - point[axis]) / len(weights))
        values.append((error[0] ** 2 + error[1] ** 2) / 2)
    return np.array(values)


ORACLES = {
    "coordinate_mean_squared_error": coordinate_mean_squared_error,
    "multiscale_softmax_cross_entropy": multiscale_softmax_cross_entropy,
}
CASES = [
    Case("multiscale_softmax_cross_entropy", shapes=((8, 16, 3),)),
    Case("coordinate_mean_squared_error", {"reduce": "mean"}, shapes=((8, 16, 3),)),
]
