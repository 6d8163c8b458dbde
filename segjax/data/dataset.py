"""The prepared set that a config names: opened once, and handed on."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from segjax.checks import nearest
from segjax.data import digest, fields, own, store
from segjax.errors import UserError


class Dataset:
    """A set with the splits that a config gives names to.

    A generated set is made when its examples, or their digest, are first asked for; its features
    and counts are known before.

    Args:
        section: `config.data`: name, data_dir, splits.

    Raises: UserError when there is no such set, or its description is damaged.
    """

    def __init__(self, section: ConfigDict):
        self.name, self.folder = section.name, section.data_dir
        self.splits: Mapping[str, str] = section.splits
        self._made = store.builder(self.name, self.folder, path="config.data.name")

    @property
    def _builder(self) -> Any:
        """The builder, made anew where another process has prepared the set since."""
        # TFDS reads the description when a builder is made, so this one never learns of the splits.
        if store.is_prepared(self._made) and not self._made.info.splits:
            self._made = store.builder(self.name, self.folder, path="config.data.name")
        return self._made

    @property
    def features(self) -> Mapping[str, Any]:
        """The fields of its examples."""
        return self._builder.info.features

    @property
    def ignores(self) -> bool:
        """Whether it says that nothing is known of some voxels (`fields.has_ignored`)."""
        return fields.has_ignored(self._builder)

    @property
    def is_prepared(self) -> bool:
        """Whether it lies in its folder."""
        return store.is_prepared(self._builder)

    @property
    def is_generated(self) -> bool:
        """Whether it is a function of its config, without a download."""
        return not store.needs_download(self._builder)

    def require(self) -> None:
        """UserError unless it is prepared, or can be generated without a download."""
        store.require(self._builder, self.name, self.folder)

    def prepare(self) -> None:
        """Generates it where that is all it takes; `require` otherwise."""
        self.require()
        store.prepare(self._builder)

    @functools.cached_property
    def digest(self) -> str:
        """The digest of its content."""
        # Preparing first: the digest is one of records, which a generated set does not have before
        self.prepare()
        return digest.of(self._builder)

    def expression(self, split: str) -> str:
        """What a name stands for in `config.data.splits`; UserError for an unknown one."""
        if split not in self.splits:
            raise UserError(
                f"split {split!r}: config.data.splits has no such split"
                f"{nearest(split, self.splits)} It has: {', '.join(self.splits)}"
            )
        return self.splits[split]

    def count(self, split: str) -> int:
        """The number of examples of a split; nothing is generated for it."""
        self.require()
        expression = self.expression(split)
        return store.check_split(self._builder, expression, path=f"config.data.splits.{split}")

    def open(self, split: str, fields: Sequence[str]) -> Sequence[Mapping]:
        """The examples of a split, with some of their fields."""
        self.prepare()
        # For its UserErrors: an unknown or empty split is named here, not by TFDS
        self.count(split)
        return store.open_split(self._builder, self.expression(split), tuple(fields))

    def patients(self, names: Sequence[str]) -> list[str]:
        """The patient, or other group, that each case belongs to; its own name where none is known.

        Own sets know it by `--group`, others by the method `patient` of their builder.
        """
        known, of = own.patients(self._builder), getattr(self._builder, "patient", str)
        return [known.get(name) or of(name) for name in names]

    def names(self, split: str) -> list[str]:
        """The `image_id` of every example, in the order of the split."""
        source = self.open(split, ("image_id",))
        return [source[index]["image_id"].decode() for index in range(len(source))]
