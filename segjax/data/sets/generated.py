"""What the sets that are generated, not downloaded, share: sizes, counts and seeds by config."""

import dataclasses
import re
from typing import ClassVar

import tensorflow_datasets as tfds

from segjax import checks
from segjax.errors import UserError

SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(eq=False, kw_only=True)
class GeneratedConfig(tfds.core.BuilderConfig):
    """How large the pictures are and how many subjects each split holds.

    Attributes:
        size: height and width in pixels.
        train, validation, test: number of subjects in each split, each with a seed of its own.
        smallest: the least size that can be generated.
        most: seeds set aside for each split, whatever the config.
        subjects: what is counted, in words.
    """

    size: int
    train: int
    validation: int
    test: int
    smallest: ClassVar[int]
    most: ClassVar[int]
    subjects: ClassVar[str]

    def __post_init__(self):
        checks.check("size", self.size, checks.whole(least=self.smallest))
        for split in SPLITS:
            checks.check(split, getattr(self, split), checks.whole(least=1, most=self.most))

    def seeds(self, split: str) -> range:
        """The seeds of a split; those of different splits are disjoint, whatever the configs."""
        # By the most that a split may hold, not by what the others do hold: seed n is in one split
        # in every config, so that a larger training set never takes in another config's test
        # subjects.
        first = SPLITS.index(split) * self.most
        return range(first, first + getattr(self, split))


class GeneratedSet(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A set that is a function of its config; `_generate_examples` takes the seeds of a split."""

    CONFIG: ClassVar[type[GeneratedConfig]]

    @classmethod
    def config_named(cls, name: str) -> GeneratedConfig | None:
        """The config that a name such as `96px_300_50_50` spells out, or None for other names."""
        found = re.fullmatch(r"(\d+)px_(\d+)_(\d+)_(\d+)", name)
        if found is None:
            return None
        size, *counts = (int(number) for number in found.groups())
        try:
            return cls.CONFIG(name=name, size=size, **dict(zip(SPLITS, counts, strict=True)))
        except ValueError as error:
            raise UserError(f"{cls.name}/{name}: {error}") from error

    def declared_splits(self) -> tfds.core.splits.SplitDict:
        """The splits that it will have, before it is generated."""
        # Only for TFDS to read split expressions such as `train[:80%]`: these files do not exist
        # yet
        names = tfds.core.ShardedFileTemplate(
            data_dir=self.data_path, dataset_name=self.name, filetype_suffix="array_record"
        )
        counts = {split: getattr(self.builder_config, split) for split in SPLITS}
        return tfds.core.splits.SplitDict(
            tfds.core.SplitInfo(
                name=split, shard_lengths=[count], num_bytes=0, filename_template=names
            )
            for split, count in counts.items()
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        del dl_manager  # nothing to download
        config = self.builder_config
        return {split: self._generate_examples(config.seeds(split)) for split in SPLITS}
