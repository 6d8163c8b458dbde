"""The prepared set of a folder: a TFDS builder to make it, and one to read it."""

import csv
import io
import json
import pathlib
import re
import types

import tensorflow_datasets as tfds

from segjax.data import own
from segjax.data.folders.content import Content, examples
from segjax.errors import UserError

RELEASE = "1.0.0"
NAME = re.compile(r"[a-z][a-z0-9_]*")
# Folders that segjax keeps beside the sets.
RESERVED = ("preprocessed", "plans")


class FolderSet(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A set from a folder; `of` makes the class of one."""

    VERSION = tfds.core.Version(RELEASE)
    RELEASE_NOTES = {RELEASE: "As the folder was when it was prepared."}
    content: Content

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"Prepared from {self.content.request.folder}.",
            features=tfds.features.FeaturesDict(self.content.features()),
            metadata=tfds.core.MetadataDict(**self.content.metadata),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        del dl_manager
        splits = dict.fromkeys(self.content.splits.values())
        return {split: examples(self.content, split) for split in sorted(splits)}

    def _generate_examples(self, found):
        yield from found

    def notes(self) -> dict[str, str]:
        """Files beside the records, by name: which image is in which split, and the source."""
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(["name", "split", "group"])
        for key, split in self.content.splits.items():
            writer.writerow([self.content.name_of(key), split, self.content.groups[key]])
        return {
            own.SPLIT_TABLE: table.getvalue(),
            own.SOURCE: json.dumps(source_of(self.content), indent=2) + "\n",
        }


def of(name: str, content: Content) -> type[FolderSet]:
    """The class of the set called `name`."""
    return types.new_class(
        name,
        (FolderSet,),
        {"skip_registration": True},
        lambda body: body.update(name=name, content=content, __module__=__name__),
    )


def check_name(name: str, known: list[str]) -> None:
    """UserError unless a set may be called so."""
    if not NAME.fullmatch(name):
        raise UserError(
            f"--name {name!r}: takes small letters, digits and underscores, a letter first"
        )
    if name in known:
        raise UserError(f"--name {name}: segjax has a set of this name; take another")
    if name in RESERVED:
        raise UserError(f"--name {name}: segjax keeps a folder of this name there; take another")


def source_of(content: Content) -> dict:
    """What is kept of the source, by which a later preparation sees whether it has changed."""
    request = content.request
    said = {
        key: str(value) if isinstance(value, pathlib.Path) else value
        for key, value in vars(request).items()
    }
    return {
        "kind": type(content).__name__.lower(),
        "request": said,
        "fingerprint": content.fingerprint,
        "digests": dict(content.digests),
    }
