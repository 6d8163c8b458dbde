"""Stand-ins for figures: drawing takes most of the time of a report."""

import os
import pathlib
from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure

from segjax import files
from segjax.data.png import write_png
from segjax.tasks.localization.task import Localization
from segjax.tasks.segmentation.task import Segmentation

# Set for processes of their own: the networks of `tests/train/tiny.py` ask for it. It names the one
# that set it, which may load these networks, too, and draws where its tests want pictures.
VARIABLE = "SEGJAX_TESTS_DRAW_NOTHING"
CHILDREN = f"children of {os.getpid()}"


def write_pixel(path: pathlib.Path, figure: object) -> None:
    """Takes the place of `files.write_figure`."""
    write_png(path, np.zeros((1, 1, 3), np.uint8))


def leave_out(assign: Callable[[object, str, object], None]) -> None:
    """Puts the stand-ins in place by `assign(module, name, stand_in)`."""
    assign(files, "write_figure", write_pixel)
    # Of photographs, these would compute as much as they draw
    for task, names in (
        (Localization, ("cases", "axis_logits", "toy_losses")),
        (Segmentation, ("cases",)),
    ):
        blank = dict.fromkeys(names, Figure())
        assign(task, "case_figures", lambda *unused, blank=blank: blank)


def leave_out_where_asked() -> None:
    """For the rest of this process, where the variable is set."""
    if os.environ.get(VARIABLE) not in (None, f"children of {os.getpid()}"):
        leave_out(setattr)
