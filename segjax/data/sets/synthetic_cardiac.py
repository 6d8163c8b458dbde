"""The volume set that comes with segjax: drawn short-axis cardiac MR, nothing to download."""

import dataclasses
import re

import tensorflow_datasets as tfds

from segjax.data import cardiac
from segjax.data.cardiac import SMALLEST, generate_cardiac
from segjax.data.cardiac_anatomy import PHASES
from segjax.data.sets import volume_features
from segjax.errors import UserError

SEEDS_A_SPLIT = 1000
SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(eq=False, kw_only=True)
class SyntheticCardiacConfig(tfds.core.BuilderConfig):
    """How large the slices are and how many patients each split holds, two volumes of each.

    Attributes:
        size: height and width of a slice in pixels.
        train, validation, test: number of patients in each split.
    """

    size: int = 64
    train: int = 24
    validation: int = 8
    test: int = 8

    def __post_init__(self):
        if self.size < SMALLEST:
            raise ValueError(f"`size` takes pixels from {SMALLEST}, got {self.size}")
        for split in SPLITS:
            count = getattr(self, split)
            if not 1 <= count <= SEEDS_A_SPLIT:
                raise ValueError(f"`{split}` takes 1 to {SEEDS_A_SPLIT} patients, got {count}")


def split_seeds(config: SyntheticCardiacConfig, split: str) -> range:
    """The seeds of a split; those of different splits are disjoint, whatever the configs."""
    first = SPLITS.index(split) * SEEDS_A_SPLIT
    return range(first, first + getattr(config, split))


class SyntheticCardiac(tfds.core.GeneratorBasedBuilder):
    """Synthetic short-axis cardiac MR of two phases, with both ventricles and the myocardium."""

    # The volumes are a function of seed, size and this version: a change to the drawing bumps it.
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}
    CLASSES = cardiac.CLASSES
    MODALITIES = cardiac.MODALITIES
    BUILDER_CONFIGS = [
        SyntheticCardiacConfig(name="small", description="64 pixels, for demonstrations."),
        SyntheticCardiacConfig(
            name="128", description="128 pixels.", size=128, train=70, validation=15, test=15
        ),
    ]

    CONFIG_PATTERN = ", or SIZEpx_TRAIN_VALIDATION_TEST (patients) as in 96px_24_8_8"

    @staticmethod
    def config_named(name: str) -> SyntheticCardiacConfig | None:
        """The config that a name such as `96px_24_8_8` spells out, or None for other names."""
        found = re.fullmatch(r"(\d+)px_(\d+)_(\d+)_(\d+)", name)
        if found is None:
            return None
        size, *counts = (int(number) for number in found.groups())
        try:
            named = dict(zip(SPLITS, counts, strict=True))
            return SyntheticCardiacConfig(name=name, size=size, **named)
        except ValueError as error:
            raise UserError(f"synthetic_cardiac/{name}: {error}") from error

    def _info(self) -> tfds.core.DatasetInfo:
        features = volume_features.volume_features(channels=len(self.MODALITIES))
        features["phase"] = tfds.features.ClassLabel(names=list(PHASES))
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            description=(
                "Drawn short-axis cardiac MR for trying out pipelines, losses and "
                "installations. Nothing measured on it says anything about patients."
            ),
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # nothing to download
        config = self.builder_config
        return {split: self._generate_examples(split_seeds(config, split)) for split in SPLITS}

    def _generate_examples(self, seeds: range):
        for seed in seeds:
            for phase in PHASES:
                example = generate_cardiac(seed, self.builder_config.size, phase)
                yield example["image_id"], example
