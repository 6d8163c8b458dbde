"""Synthetic fundus photographs with eight findings and their regions, nothing to download."""

import numpy as np
import tensorflow_datasets as tfds

from segjax.data.features import EncodedImage
from segjax.data.regions import REGIONS
from segjax.data.sets.generated import GeneratedSet
from segjax.data.sets.synthetic_fundus import SyntheticFundusConfig
from segjax.data.synthetic.finding_shapes import FINDINGS
from segjax.data.synthetic.findings import generate_findings


class SyntheticFindings(GeneratedSet):
    """Synthetic colour fundus photographs with eight findings: labels, masks and regions."""

    # The pictures are a function of seed, size and this version: a change to the phantom bumps it.
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}
    CONFIG = SyntheticFundusConfig
    BUILDER_CONFIGS = [
        SyntheticFundusConfig(name="small", description="128 pixels, for demonstrations."),
        SyntheticFundusConfig(
            name="256", description="256 pixels.", size=256, train=1000, validation=200, test=200
        ),
        SyntheticFundusConfig(
            name="512", description="512 pixels.", size=512, train=1000, validation=200, test=200
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
        for name in ("field_of_view", *FINDINGS):
            features[name] = EncodedImage(shape=(None, None, 1), dtype=np.uint8)
        regions = tfds.features.Tensor(shape=(len(REGIONS),), dtype=np.uint8)
        for name in FINDINGS:
            features[f"{name}_label"] = tfds.features.Tensor(shape=(), dtype=np.int8)
        for name in FINDINGS:
            features[f"{name}_regions"] = regions
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            description=(
                "Synthetic colour fundus photographs with eight findings, for trying out their "
                "classification with and without regional guidance. Nothing measured on them says "
                "anything about patients."
            ),
        )

    def _generate_examples(self, seeds: range):
        for seed in seeds:
            example = generate_findings(seed, self.builder_config.size)
            yield example["image_id"], example
