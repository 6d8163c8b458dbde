"""Where tasks keep what they make of the data, and whether they can."""

import contextlib
import os
import pathlib

from ml_collections import ConfigDict

from segjax.data import array_files, staging
from segjax.data.dataset import Dataset
from segjax.errors import UserError


def cache_of(config: ConfigDict, digest: str) -> pathlib.Path:
    """Where all that is made from the data of a digest is kept: `config.data.cache_dir`.

    Without one it lies beside the prepared sets.
    """
    beside = os.path.join(config.data.data_dir, array_files.FOLDER)
    return array_files.folder_of(config.data.cache_dir or beside, digest)


def held_cache(config: ConfigDict, digest: str) -> pathlib.Path:
    """`cache_of`, kept from being tidied as long as this process lives."""
    folder = cache_of(config, digest)
    with contextlib.suppress(OSError):  # a folder to read only may hold what is wanted
        staging.hold(folder)
    return folder


def check_cache(config: ConfigDict, data: Dataset) -> None:
    """UserError unless the cache has something of these data, or can be written into."""
    folder = cache_of(config, data.digest)
    # Of a folder that is still to be made, what is there of its parents decides
    above = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not above.is_dir() or (above != folder and not os.access(above, os.W_OK | os.X_OK)):
        raise UserError(
            f"{folder}: cannot keep preprocessed cases there, for {above} cannot be written into; "
            f"{array_files.ELSEWHERE}"
        )
