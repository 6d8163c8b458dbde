"""Network architectures, one a file, as flax.linen modules that return a dict with 'logits'."""

from segjax.models import cellpose, plain_unet
from segjax.models.cellpose import CellposeUNet
from segjax.models.guided import GuidedClassifier
from segjax.models.inception import InceptionV3
from segjax.models.plain_unet import PlainUNet

__all__ = [
    "CellposeUNet",
    "GuidedClassifier",
    "InceptionV3",
    "PlainUNet",
    "cellpose",
    "plain_unet",
]
