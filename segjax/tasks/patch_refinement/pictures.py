"""Pictures of a network of patches: those that it is most wrong on."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

Patches = Sequence[tuple[str, float, np.ndarray]]


def mistakes_figure(lesions: Patches, healthy: Patches) -> Figure:
    """Lesion patches of the lowest probability above, healthy ones of the highest below.

    Args:
        lesions, healthy: (photograph, probability, patch) each, the worst first.
    """
    columns = max(len(lesions), len(healthy), 1)
    figure = Figure(figsize=(1.5 * columns, 3.9), layout="constrained")
    grid = figure.subplots(2, columns, squeeze=False)
    for axes in grid.ravel():
        axes.set_axis_off()
    for line, patches in zip(grid, (lesions, healthy), strict=True):
        for axes, (name, probability, patch) in zip(line, patches, strict=False):
            axes.imshow(patch)
            axes.set_title(f"{name}\n{probability:.3f}", fontsize=6)
            axes.plot(patch.shape[1] // 2, patch.shape[0] // 2, "+", color="white", markersize=5)
    figure.set_label(
        "Above, patches around lesion pixels with the lowest probability; below, patches of "
        "healthy pixels with the highest, one a place. The cross is the pixel that is judged."
    )
    return figure
