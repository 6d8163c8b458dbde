"""Prepared data sets on disk: preparing them, opening them, listing them."""

import contextlib
import fcntl
import io
import logging
import os
import pathlib
import sys
from collections.abc import Iterator

import tensorflow_datasets as tfds

from segjax.config import lookup
from segjax.config.lookup import nearest
from segjax.errors import UserError

FORMAT = "array_record"
logging.getLogger("absl").setLevel(logging.ERROR)  # TFDS warns there of configs made by name


def builder(name: str, data_dir: str, *, path: str = "data.name") -> tfds.core.DatasetBuilder:
    """The builder of `set` or `set/config`; UserError when either is unknown."""
    set_name, _, config_name = name.partition("/")
    made_by = lookup.find("datasets", set_name, path)
    configs = [config.name for config in made_by.BUILDER_CONFIGS]
    config = config_name or None
    if config_name and config_name not in configs:
        config = getattr(made_by, "config_named", lambda _: None)(config_name)
    if config_name and config is None:
        more = getattr(made_by, "CONFIG_PATTERN", "")
        raise UserError(
            f"{path}={name!r}: {set_name} has no config {config_name!r}"
            f"{nearest(config_name, configs)} It has: {', '.join(configs)}{more}"
        )
    return made_by(data_dir=data_dir, config=config, file_format=FORMAT)


def is_prepared(made: tfds.core.DatasetBuilder) -> bool:
    """Whether the set lies complete in its folder."""
    return (pathlib.Path(made.data_path) / "dataset_info.json").is_file()


def needs_download(made: tfds.core.DatasetBuilder) -> bool:
    """Whether the set is read from files that the user has to fetch."""
    return bool(made.MANUAL_DOWNLOAD_INSTRUCTIONS)


def prepare(made: tfds.core.DatasetBuilder, manual_dir: str | None = None) -> bool:
    """Prepares the set unless it is there already; True if it did. Atomic: whole or nothing.

    Of several processes that call this at once, one prepares and the others wait for it.
    """
    if is_prepared(made):
        return False
    if needs_download(made):
        if manual_dir is None:
            raise UserError(
                f"{made.name}: --manual_dir is needed, the folder of the official download "
                f"(docs/datasets/{made.name}.md says where to get it)"
            )
        if not os.path.isdir(manual_dir):
            raise UserError(f"--manual_dir {manual_dir}: no such folder")
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    _check_writable(made)
    with _alone(made.data_path.parent):
        if fresh := not is_prepared(made):
            _write(made, manual_dir)
    if not fresh:
        made.info.read_from_directory(made.data_path)
    return fresh


@contextlib.contextmanager
def _alone(folder: os.PathLike) -> Iterator[None]:
    """One process at a time, where the file system of the folder has locks."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _write(made: tfds.core.DatasetBuilder, manual_dir: str | None) -> None:
    settings = tfds.download.DownloadConfig(manual_dir=manual_dir)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # where TFDS prints unknown sizes
            made.download_and_prepare(download_config=settings)
    except UserError:
        raise
    except Exception as error:
        if cause := _user_error_behind(error):
            raise cause from error
        raise


def _check_writable(made: tfds.core.DatasetBuilder) -> None:
    try:
        os.makedirs(made.data_path.parent, exist_ok=True)
        if not os.access(made.data_path.parent, os.W_OK):
            raise PermissionError("not writable")
    except OSError as error:
        raise UserError(
            f"--data_dir: cannot write into {made.data_path.parent}: {error}"
        ) from error


def _user_error_behind(error: BaseException | None) -> UserError | None:
    """The UserError that a library wrapped in an exception of its own."""
    while error is not None:
        if isinstance(error, UserError):
            return error
        error = error.__cause__ or error.__context__
    return None


def require(name: str, data_dir: str) -> tfds.core.DatasetBuilder:
    """The builder of a set that is prepared, or that can be generated without a download."""
    made = builder(name, data_dir)
    if not is_prepared(made) and needs_download(made):
        raise UserError(
            f"data.name={name!r}: not prepared in {data_dir!r}; run "
            f"`segjax data prepare {name} --manual_dir FOLDER --data_dir {data_dir}`"
        )
    return made


def ensure_prepared(name: str, data_dir: str) -> tfds.core.DatasetBuilder:
    """The builder of a prepared set. Generated sets are made on the spot; others must be there."""
    made = require(name, data_dir)
    prepare(made)
    return made


def check_split(made: tfds.core.DatasetBuilder, split: str, *, path: str) -> int:
    """The number of examples of a split expression such as `train[:80%]`."""
    available = list(made.info.splits)
    try:
        examples = made.info.splits[split].num_examples
    except (KeyError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path}={split!r}: {made.name} has no such split{nearest(split, available)} "
            f"It has: {', '.join(available)}"
        ) from error
    if examples < 1:  # TFDS counts backwards for a range such as [5:2]
        raise UserError(f"{path}={split!r}: the split is empty")
    return examples


def open_split(made: tfds.core.DatasetBuilder, split: str, fields: tuple[str, ...] | None = None):
    """Random access to a split; with `fields`, all other pictures stay encoded bytes."""
    encoded = {}
    if fields is not None:
        for name, feature in made.info.features.items():
            if name not in fields and isinstance(feature, tfds.features.Image):
                encoded[name] = tfds.decode.SkipDecoding()
    return made.as_data_source(split=split, decoders=encoded or None)


def listing(data_dir: str) -> list[tuple[str, str]]:
    """(set/config, state) of every set that segjax knows."""
    rows = []
    for name in lookup.names("datasets"):
        made_by = lookup.find("datasets", name)
        for config in made_by.BUILDER_CONFIGS:
            made = builder(f"{name}/{config.name}", data_dir)
            if is_prepared(made):
                counts = (f"{k} {v.num_examples}" for k, v in made.info.splits.items())
                state = "prepared: " + ", ".join(counts)
            elif needs_download(made):
                state = "needs the official download (--manual_dir)"
            else:
                state = "generated when first used"
            rows.append((f"{name}/{config.name}", state))
    return rows
