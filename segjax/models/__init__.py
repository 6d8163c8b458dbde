"""Network architectures, one a file, as flax.linen modules that return a dict with 'logits'."""

from segjax.models import cellpose, plain_unet
from segjax.models.cellpose import CellposeUNet
from segjax.models.frrn import FRRN
from segjax.models.guided import GuidedClassifier
from segjax.models.inception import InceptionV3
from segjax.models.patch_resnet import PatchResNet
from segjax.models.plain_unet import PlainUNet

__all__ = [
    "FRRN",
    "CellposeUNet",
    "GuidedClassifier",
    "InceptionV3",
    "PatchResNet",
    "PlainUNet",
    "cellpose",
    "plain_unet",
]
