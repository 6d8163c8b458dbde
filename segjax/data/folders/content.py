"""What is stored of a folder, whatever it holds."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol


class Content(Protocol):
    """A folder that was understood, as far as storing it goes.

    Attributes:
        splits, groups: of each case by its key.
        digests: of the content of each case.
        fingerprint: stands for all that changes what is stored.
        metadata: what readers of the set want to know beside its fields.
        request: what the user has said.
    """

    splits: Mapping[str, str]
    groups: Mapping[str, str]
    digests: Mapping[str, str]
    fingerprint: str
    metadata: Mapping[str, Any]
    request: Any

    def features(self) -> Mapping[str, Any]:
        """The fields of an example."""
        ...

    def name_of(self, key: str) -> str:
        """The `image_id` of a case."""
        ...

    def example(self, key: str) -> Mapping[str, Any]:
        """One case, read from its files."""
        ...


def examples(content: Content, split: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The cases of a split, read one after the other."""
    for key in content.splits:
        if content.splits[key] == split:
            yield content.name_of(key), content.example(key)
