"""Network architectures, one a file, as flax.linen modules that return a dict with 'logits'."""

from segjax.models import cellpose
from segjax.models.cellpose import CellposeUNet

__all__ = ["CellposeUNet", "cellpose"]
