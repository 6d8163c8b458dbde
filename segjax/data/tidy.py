"""Removes from a data folder what has no owner: caches of data that are gone, killed preparations.

A cache is owned by the prepared set of its digest. What a living process holds stays.
"""

import pathlib
import re

import tensorflow_datasets as tfds

from segjax.data import array_files, digest, shards, staging
from segjax.errors import UserError

_OURS = re.compile(r"[0-9a-f]{16}(\.npy)?")  # caches, also of the time before digests
_OLD = re.compile(r"\.[0-9a-f]{16}\.\w+")  # half-made ones of that time


def tidy(data_dir: str) -> str | None:
    """Removes what has no owner in `data_dir`; what was removed, in words, if anything was.

    A cache that lies elsewhere (`config.data.cache_dir`) may serve several data folders and is left
    alone.
    """
    root = pathlib.Path(data_dir)
    # Sets lie at NAME/CONFIG/VERSION, or at NAME/VERSION without configs; what is in the making
    # lies beside the versions.
    folders = {path.parent for pattern in ("*/*", "*/*/*") for path in root.glob(pattern)}
    # First, for what a killed process had set aside lies in what it has left
    restored = [str(place) for folder in sorted(folders) for place in staging.put_back(folder)]
    counts = {
        "left by killed preparations": sum(map(staging.remove_abandoned, folders)),
        "preprocessed from data that are gone": _caches(root, root / array_files.FOLDER),
    }
    found = [f"{count} {what}" for what, count in counts.items() if count]
    done = [f"removed {', '.join(found)}"] if found else []
    done += [f"put back {', '.join(restored)}, not replaced by them"] if restored else []
    return f"tidied {data_dir}: {'; '.join(done)}" if done else None


def caches(cache: pathlib.Path) -> list[pathlib.Path]:
    """What is cached in a folder, sorted: a folder for the data of a digest, each."""
    # By the pattern of our names: whatever else lies there is someone's and stays
    return sorted(path for path in cache.glob("*") if _OURS.fullmatch(path.name))


def _caches(root: pathlib.Path, cache: pathlib.Path) -> int:
    """Removes caches that no prepared set owns; how many."""
    entries = caches(cache)
    entries += [p for p in cache.glob(".*") if _OLD.fullmatch(p.name) and staging.is_old(p)]
    # First: the digests of older sets take a pass over their records
    if not entries:
        return 0
    try:
        owned = {array_files.folder_of(cache, found) for found in _digests(root)}
    except UserError:  # a damaged set may own any of them
        return 0
    return sum(staging.remove(path) for path in entries if path not in owned)


def _digests(root: pathlib.Path) -> set[str]:
    """The digests of all sets that are prepared in a data folder."""
    infos = [path for pattern in ("*/*", "*/*/*") for path in root.glob(f"{pattern}/{shards.INFO}")]
    return {digest_of(path.parent) for path in infos}


def digest_of(folder: pathlib.Path) -> str:
    """The digest of the set that lies in a folder; UserError where it is damaged.

    Cost: a pass over its records where the digest is not kept beside them.
    """
    if (kept := digest.known(folder)) is not None:
        return kept
    info = folder / shards.INFO
    try:
        made = tfds.builder_from_directory(info.parent)
    except Exception as error:
        raise shards.damaged(info, error) from error
    return digest.of(made)
