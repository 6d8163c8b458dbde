"""The volume set that comes with segjax: a short-axis cardiac phantom, nothing to download."""

import dataclasses

import tensorflow_datasets as tfds

from segjax.data.sets import volume_features
from segjax.data.sets.generated import GeneratedConfig, GeneratedSet
from segjax.data.synthetic import cardiac
from segjax.data.synthetic.cardiac import SMALLEST, generate_cardiac
from segjax.data.synthetic.cardiac_anatomy import PHASES


@dataclasses.dataclass(eq=False, kw_only=True)
class SyntheticCardiacConfig(GeneratedConfig):
    """How large the slices are and how many patients each split holds, two volumes of each.

    Attributes:
        size: height and width of a slice in pixels.
        train, validation, test: number of patients in each split.
    """

    size: int = 64
    train: int = 24
    validation: int = 8
    test: int = 8

    smallest = SMALLEST
    most = 1000
    subjects = "patients"


class SyntheticCardiac(GeneratedSet):
    """Synthetic short-axis cardiac MR of two phases, with both ventricles and the myocardium."""

    # The volumes are a function of seed, size and this version: a change to the phantom bumps it.
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}
    CLASSES = cardiac.CLASSES
    MODALITIES = cardiac.MODALITIES
    CONFIG = SyntheticCardiacConfig
    BUILDER_CONFIGS = [
        SyntheticCardiacConfig(name="small", description="64 pixels, for demonstrations."),
        SyntheticCardiacConfig(
            name="128", description="128 pixels.", size=128, train=70, validation=15, test=15
        ),
    ]

    CONFIG_PATTERN = ", or SIZEpx_TRAIN_VALIDATION_TEST (patients) as in 96px_24_8_8"

    def _info(self) -> tfds.core.DatasetInfo:
        features = volume_features.volume_features(channels=len(self.MODALITIES))
        features["phase"] = tfds.features.ClassLabel(names=list(PHASES))
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            description=(
                "Synthetic short-axis cardiac MR for trying out pipelines, losses and "
                "installations. Nothing measured on it says anything about patients."
            ),
        )

    def _generate_examples(self, seeds: range):
        for seed in seeds:
            for phase in PHASES:
                example = generate_cardiac(seed, self.builder_config.size, phase)
                yield example["image_id"], example
