"""The data set that comes with segjax: synthetic fundus photographs, nothing to download."""

import dataclasses

import numpy as np
import tensorflow_datasets as tfds

from segjax.data.features import EncodedImage
from segjax.data.sets.generated import GeneratedConfig, GeneratedSet
from segjax.data.synthetic.fundus import MASKS, SMALLEST, generate_fundus

GRADES = ("none", "microaneurysms", "moderate", "severe")


@dataclasses.dataclass(eq=False, kw_only=True)
class SyntheticFundusConfig(GeneratedConfig):
    """How large the pictures are and how many each split holds.

    Attributes:
        size: height and width in pixels.
        train, validation, test: number of pictures in each split.
    """

    size: int = 128
    train: int = 240
    validation: int = 60
    test: int = 60

    smallest = SMALLEST
    most = 10_000_000
    subjects = "pictures"


class SyntheticFundus(GeneratedSet):
    """Synthetic colour fundus photographs with points, masks, findings and grade."""

    # The pictures are a function of seed, size and this version: a change to the phantom bumps it.
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}
    CONFIG = SyntheticFundusConfig
    BUILDER_CONFIGS = [
        SyntheticFundusConfig(name="small", description="128 pixels, for demonstrations."),
        SyntheticFundusConfig(
            name="256", description="256 pixels.", size=256, train=400, validation=100, test=100
        ),
        SyntheticFundusConfig(
            name="512", description="512 pixels.", size=512, train=400, validation=100, test=100
        ),
    ]

    CONFIG_PATTERN = ", or SIZEpx_TRAIN_VALIDATION_TEST as in 96px_300_50_50"

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": EncodedImage(shape=(None, None, 3), dtype=np.uint8),
            "image_id": tfds.features.Text(),
            "eye": tfds.features.ClassLabel(names=["left", "right"]),
            "fovea": tfds.features.Tensor(shape=(2,), dtype=np.float32),
            "disc": tfds.features.Tensor(shape=(2,), dtype=np.float32),
        }
        for name in MASKS:
            features[name] = EncodedImage(shape=(None, None, 1), dtype=np.uint8)
        features["findings"] = tfds.features.Tensor(shape=(4,), dtype=np.uint8)
        features["grade"] = tfds.features.ClassLabel(names=list(GRADES))
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            description=(
                "Synthetic colour fundus photographs for trying out pipelines, losses and "
                "installations. Nothing measured on them says anything about patients."
            ),
        )

    def _generate_examples(self, seeds: range):
        for seed in seeds:
            example = generate_fundus(seed, self.builder_config.size)
            yield example["image_id"], example
