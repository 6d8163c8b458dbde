"""The prepared set that a config names: opened once, and handed on."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from segjax.checks import nearest
from segjax.config import lookup
from segjax.data import digest, fields, own, staging, store
from segjax.errors import UserError


class Dataset:
    """A set with the splits that a config gives names to.

    A generated set is made when its examples, or their digest, are first asked for; its features
    and counts are known before.

    Args:
        section: `config.data`: name, data_dir, splits.
        trained: whether it is of a trained work folder, which may be used where its set is not.
            What is wrong with the set is then raised when the set is first asked for something.

    Raises: UserError when there is no such set, or its description is damaged.
    """

    def __init__(self, section: ConfigDict, *, trained: bool = False):
        self.name, self.folder = section.name, section.data_dir
        self.splits: Mapping[str, str] = section.splits
        self._columns: dict[tuple[str, str], list[Any]] = {}
        self._is_own = own.folder_of(self.name, self.folder) is not None
        self._made, self._missing, self._is_absent = None, "", False
        try:
            self._made = store.builder(self.name, self.folder, path="config.data.name")
        except UserError as error:
            name = self.name.partition("/")[0]
            known = lookup.has("datasets", name)
            # Else it is there, and damaged, or has no such config
            there = own.folder_of(name, self.folder) or own.unnoted(name, self.folder)
            self._is_absent = not known and there is None
            self._missing = self._in_words(error, trained=trained)
            if not trained:
                raise UserError(self._missing) from error

    def _in_words(self, error: UserError, *, trained: bool) -> str:
        """What is wrong with the set; of a name that nobody knows, where its set should be."""
        if not self._is_absent or ":" in self.name:
            return str(error)
        if trained:
            return (
                f"config.data.name={self.name!r}: the run was trained on a set that is not in "
                f"{self.folder}; prepare it there again, or say where it is by --data_dir"
            )
        where = f"{self.folder} (--config.data.data_dir)"
        return f"{error}; a set of your own has to be prepared in {where}"

    @property
    def is_known(self) -> bool:
        """Whether its fields are known; where they are not, any use of it is a UserError."""
        return self._made is not None

    def check_known(self) -> None:
        """UserError unless its fields are known."""
        if not self.is_known:
            raise UserError(self._missing)

    def obstacle(self) -> str | None:
        """Why it is not here; None where it lies in its folder or can be generated.

        Raises: UserError where it lies there and is damaged.
        """
        if self._is_absent:
            return self._missing
        self.check_known()
        if not self.is_prepared:
            try:
                self.require()
            except UserError as error:
                return str(error)
        return None

    @property
    def _builder(self) -> Any:
        """The builder, made anew where another process has prepared the set since."""
        self.check_known()
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
        return self.is_known and store.is_prepared(self._builder)

    @property
    def is_generated(self) -> bool:
        """Whether it is a function of its config, without a download."""
        return self.is_known and not store.needs_download(self._builder)

    def require(self) -> None:
        """UserError unless it is prepared, or can be generated without a download."""
        # Nothing can be made by the builder of an own set, which only reads
        if self._is_own and self.is_known and not self.is_prepared:
            raise UserError(
                f"config.data.name={self.name!r}: another process has just removed it from "
                f"{self.folder}"
            )
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

    def has(self, split: str) -> bool:
        """Whether there are examples of a split that the config names."""
        try:
            return self.count(split) > 0
        except UserError:
            return False

    def open(self, split: str, fields: Sequence[str]) -> Sequence[Mapping]:
        """The examples of a split, with some of their fields.

        The set is kept from being removed or replaced as long as this process lives.

        Raises: UserError where it was replaced since its digest was asked for.
        """
        self.prepare()
        while not staging.use(self._builder.data_path):  # it was just being removed
            self.prepare()
        self._check_same()
        # For its UserErrors: an unknown or empty split is named here, not by TFDS
        self.count(split)
        return store.open_split(self._builder, self.expression(split), tuple(fields))

    def _check_same(self) -> None:
        """UserError where the set is another than that whose digest was asked for.

        Where files cannot be locked, nothing else keeps a set that is in use from being replaced.
        """
        if (before := vars(self).get("digest")) is None:
            return
        if (now := digest.of(self._builder)) != before:
            raise UserError(
                f"{self._builder.data_path}: was replaced while this process used it: its digest "
                f"was {digest.short(before)}, and is {digest.short(now)}"
            )

    def patients(self, names: Sequence[str]) -> list[str]:
        """The patient, or other group, that each case belongs to; its own name where none is known.

        Own sets know it by `--group`, others by the method `patient` of their builder.
        """
        self._check_same()
        known, of = own.patients(self._builder), getattr(self._builder, "patient", str)
        return [known.get(name) or of(name) for name in names]

    def names(self, split: str) -> list[str]:
        """The `image_id` of every example, in the order of the split."""
        return [name.decode() for name in self.column(split, "image_id")]

    def column(self, split: str, field: str) -> list[Any]:
        """A small field of every example, in the order of the split; read once.

        Examples are stored whole, so that each reading is one of all photographs.
        """
        source = self.open(split, (field,))  # also of what is known: it tells a set that changed
        if (split, field) not in self._columns:
            self._columns[split, field] = [source[k][field] for k in range(len(source))]
        return self._columns[split, field]
