"""nnU-Net's 2-D networks as model, data and task options: by a published size, or by a plan.

After Isensee et al. (2021), nnU-Net. `segjax plan` measures a data set and writes a plan.
"""

import dataclasses
import os
from collections.abc import Sequence

from ml_collections import ConfigDict

from segjax.config.lookup import spec
from segjax.data.volumes.plan import read_plan
from segjax.errors import UserError
from segjax.recipes.augmentation import augmentations
from segjax.recipes.tasks import task_options


@dataclasses.dataclass(frozen=True)
class Size:
    """A network and its patches.

    Attributes:
        patch: (height, width) in pixels.
        pools: how often each axis is halved.
        pixel_spacing: (height, width) of a pixel in mm; empty keeps that of the slices.
        batch_size: patches a step.
        features: channels at full resolution, doubled from stage to stage.
        most_features: up to this many.
    """

    patch: tuple[int, int]
    pools: tuple[int, int]
    pixel_spacing: tuple[float, ...] = ()
    batch_size: int = 16
    features: int = 32
    most_features: int = 480

    @property
    def strides(self) -> tuple[tuple[int, int], ...]:
        """The stride of each stage, the first one 1."""
        # The axis that is halved less often stops first: later stages halve the other one alone
        halvings = range(max(self.pools))
        return ((1, 1), *(tuple(2 if i < pool else 1 for pool in self.pools) for i in halvings))

    @property
    def widths(self) -> tuple[int, ...]:
        """The channels of each stage."""
        return tuple(
            min(self.features * 2**i, self.most_features) for i in range(len(self.strides))
        )


def take_size(
    config: ConfigDict, size: Size, classes: Sequence[str], modalities: Sequence[str]
) -> None:
    """Sets task, model, patches and augmentation for volumes: nnU-Net v1 in a size.

    Images are standardised one by one, for which nothing has to be known of the data; a plan brings
    the statistics that CT takes.
    """
    config.task = "volume_segmentation"
    config.task_options = task_options(
        config.task,
        classes=tuple(classes),
        channels=len(modalities),
        pixel_spacing=size.pixel_spacing,
        normalization=("zscore",) * len(modalities),
    )
    config.model = spec(
        "models",
        "PlainUNet",
        features=size.widths,
        strides=size.strides,
        # The background is not among the names
        classes=len(classes) + 1,
        # Version 1 has no bias in upsampling and heads
        up_bias=False,
        head_bias=False,
    )
    config.data.image_size, config.data.batch_size = size.patch, size.batch_size
    config.data.augment = augmentations(config.task)


def follow(config: ConfigDict, path: str | os.PathLike) -> None:
    """Takes patch, batch, network and preprocessing from a plan that `segjax plan` wrote.

    Raises: UserError for a plan that cannot be read, or is of another set than `config.data.name`.
    """
    plan, data = read_plan(path), config.data.name
    if plan.dataset != data:
        raise UserError(f"plan={path}: is a plan of {plan.dataset}, this experiment is on {data}")
    config.data.image_size, config.data.batch_size = plan.patch_size, plan.batch_size
    # `train` refuses other data than those that were measured.
    config.data.plan_digest = plan.data
    # Version 2 has biases everywhere, version 1 none in upsampling and heads
    biased = plan.version == "v2"
    config.model.update(
        {
            "features": plan.features,
            "strides": plan.strides,
            "kernels": plan.kernels,
            "up_bias": biased,
            "head_bias": biased,
        }
    )
    config.task_options.update(
        {
            "slice_axis": plan.transposition[0],
            "pixel_spacing": plan.spacing[1:],
            "normalization": plan.normalization,
            "within_nonzero": plan.use_mask,
            "intensities": tuple(
                (row.mean, row.sd, row.percentile_00_5, row.percentile_99_5)
                for row in plan.intensities
            ),
        }
    )
