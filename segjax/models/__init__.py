"""Network architectures, one a file, as flax.linen modules that return a dict with 'logits'."""

from segjax.models import cellpose, plain_unet
from segjax.models.cellpose import CellposeUNet
from segjax.models.plain_unet import PlainUNet

__all__ = ["CellposeUNet", "PlainUNet", "cellpose", "plain_unet"]
