"""A drawn figure as pixels."""

import io

import numpy as np
from PIL import Image


def pixels_of(figure):
    """The figure as an RGB array; drawing it raises whatever is wrong with it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=60, format="png")
    return np.asarray(Image.open(buffer).convert("RGB"))
