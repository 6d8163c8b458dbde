"""Prepared data sets on disk: preparing them, opening them, listing them."""

import contextlib
import io
import logging
import os
import pathlib
import sys
from collections.abc import Callable, Iterator

import tensorflow_datasets as tfds

from segjax import files
from segjax.checks import nearest
from segjax.config import lookup
from segjax.data import digest, own, shards, sources, staging
from segjax.data.shards import open_split as open_split
from segjax.errors import UserError

# The format that TFDS writes and reads at random places without TensorFlow
FORMAT = "array_record"
logging.getLogger("absl").setLevel(logging.ERROR)  # TFDS warns there of configs made by name


def builder(name: str, data_dir: str, *, path: str = "data.name") -> tfds.core.DatasetBuilder:
    """The builder of `set` or `set/config`; UserError when either is unknown.

    The description of a set that is prepared is read; UserError naming the file if it is damaged.
    """
    set_name, _, config_name = name.partition("/")
    if own_set := own.opened(name, data_dir):
        return own_set
    if left := own.unnoted(name, data_dir):
        raise shards.damaged(left / own.SOURCE, "the note of what it was made of is not there")
    if config_name and own.folder_of(set_name, data_dir):
        raise UserError(f"{path}={name!r}: {set_name} is a set of your own, which has no configs")
    made_by = _found(set_name, data_dir, path)
    if not hasattr(made_by, "BUILDER_CONFIGS"):
        raise UserError(f"{path}={name!r}: is no builder of TensorFlow Datasets")
    configs = [config.name for config in made_by.BUILDER_CONFIGS]
    config = config_name or None
    if config_name and config_name not in configs:
        # Generated sets take sizes and counts that stand in the name (`sets/generated.py`).
        config = getattr(made_by, "config_named", lambda _: None)(config_name)
    if config_name and config is None:
        more = getattr(made_by, "CONFIG_PATTERN", "")
        raise UserError(
            f"{path}={name!r}: {set_name} has no config {config_name!r}"
            f"{nearest(config_name, configs)} It has: {', '.join(configs)}{more}"
        )
    try:
        return made_by(data_dir=data_dir, config=config, file_format=FORMAT)
    # TFDS reads the description while the builder is made, and raises whatever its parser raises.
    # Without a description nothing can be damaged, and the error passes.
    except Exception as error:
        if info := _info_of(made_by, data_dir, config):
            raise shards.damaged(info, error) from error
        raise


def _found(name: str, data_dir: str, path: str) -> type:
    """The class of a set; UserError with own sets among what there is."""
    if ":" not in name and not lookup.has("datasets", name) and (more := own.names(data_dir)):
        known = [*lookup.names("datasets"), *more]
        raise UserError(
            f"{path}={name!r}: no such data set{nearest(name, known)} There are: {', '.join(known)}"
        )
    return lookup.find("datasets", name, path)


def _info_of(made_by: type, data_dir: str, config: object) -> pathlib.Path | None:
    """The description of the prepared set that a builder reads as it is made; None without one."""
    config = getattr(config, "name", config)
    if config is None and made_by.BUILDER_CONFIGS:
        config = made_by.BUILDER_CONFIGS[0].name
    folder = pathlib.Path(data_dir, made_by.name, config or "", str(made_by.VERSION))
    return folder / shards.INFO if (folder / shards.INFO).exists() else None


def is_prepared(made: tfds.core.DatasetBuilder) -> bool:
    """Whether the set lies in its folder; a folder without its description holds none."""
    return (pathlib.Path(made.data_path) / shards.INFO).is_file()


def needs_download(made: tfds.core.DatasetBuilder) -> bool:
    """Whether the set is read from files that the user has to fetch."""
    return bool(made.MANUAL_DOWNLOAD_INSTRUCTIONS)


def prepare(
    made: tfds.core.DatasetBuilder, manual_dir: str | None = None, *, replace: bool = False
) -> bool:
    """Prepares the set unless it is there already; True if it did. With `replace`, also then.

    As `make`, with what it raises.
    """
    if is_prepared(made) and not replace:
        reread(made)
        shards.check(made)
        return False
    if needs_download(made):
        check_manual(made, manual_dir)

    def twin(folder: str) -> tfds.core.DatasetBuilder:
        other = type(made)(data_dir=folder, config=made.builder_config, file_format=FORMAT)
        # What a set is made of besides its download, such as points that a run has predicted
        if hasattr(made, "given"):
            other.given = made.given
        return other

    # Asked under the lock: the process that was waited for has made the set.
    fresh = make(
        pathlib.Path(made.data_path), twin, lambda: replace or not is_prepared(made), manual_dir
    )
    # The builder was made before the set, and knows no splits yet
    made.info.read_from_directory(made.data_path)
    return fresh


def reread(made: tfds.core.DatasetBuilder) -> None:
    """Reads the set behind a builder that is older, for another process has made it meanwhile."""
    if not made.info.splits:
        # Of one that is damaged the check that follows says so
        with contextlib.suppress(Exception):
            made.info.read_from_directory(made.data_path)


def make(
    place: pathlib.Path,
    twin: Callable[[str], tfds.core.DatasetBuilder],
    wanted: Callable[[], bool],
    manual_dir: str | None = None,
) -> bool:
    """Makes a set and gives it its place, where it is wanted; whether it did.

    Atomic: the set appears whole, with its digest, or not at all. Of several processes that prepare
    it at once, one does and the others wait for it; where files cannot be locked, the first to end
    gives the set its place.

    Args:
        place: the folder of the set. A set that is there is replaced.
        twin: its builder, of another data folder.
        wanted: asked under the lock whether to make it; what it raises passes.
        manual_dir: of the official download.

    Raises: UserError where another process uses the set that would be replaced.
    """
    with staging.no_empty_folder(place.parent):
        _check_writable(place)
        with _alone(place.parent):
            _tidy(place.parent)
            # Asked first: where no locks are, another process may give a set the place meanwhile
            replace = (place / shards.INFO).is_file()
            return wanted() and _make(place, twin, manual_dir, replace=replace)


def check_manual(made: tfds.core.DatasetBuilder, manual_dir: str | None) -> None:
    """UserError unless the folder of the official download is named and there."""
    if manual_dir is None:
        raise UserError(
            f"{made.name}: --manual_dir is needed, the folder of the official download "
            f"(docs/datasets/{made.name}.md says where to get it)"
        )
    if not os.path.isdir(manual_dir):
        raise UserError(f"--manual_dir {manual_dir}: no such folder")


@contextlib.contextmanager
def _alone(folder: os.PathLike) -> Iterator[None]:
    """One process at a time, where the file system of the folder has locks."""
    said = f"segjax: {folder}: waits for another process, which prepares"
    with staging.alone(folder, waits=lambda: print(said, file=sys.stderr)):
        yield


def _tidy(parent: pathlib.Path) -> None:
    """Ends what killed preparations of a set have begun; says so."""
    for place in staging.put_back(parent):
        print(f"{place}: put back, which a killed preparation had not replaced", file=sys.stderr)
    if killed := staging.remove_abandoned(parent):
        print(f"{parent}: removed {killed} left by killed preparations", file=sys.stderr)


def _make(
    place: pathlib.Path,
    twin: Callable[[str], tfds.core.DatasetBuilder],
    manual_dir: str | None,
    *,
    replace: bool,
) -> bool:
    """Makes the set and its digest in a folder of its own, and moves it to its place."""
    if replace:
        staging.check_unused(place)
    with staging.folder(place.parent, place.name) as stage:
        # A builder of its own, for TFDS takes the folder when a builder is made. Its folder lies
        # beside the place, on one disk, so that a rename moves the set.
        made = twin(str(stage))
        # Before the files are read, so that a change meanwhile is noticed
        source = sources.of(made, manual_dir) if needs_download(made) else None
        _download(made, manual_dir)
        notes = dict(getattr(made, "notes", dict)())
        if source is not None:
            notes[sources.NOTE] = sources.note(source)
        for name, text in notes.items():
            files.write_text(pathlib.Path(made.data_path) / name, text)
        # Before the move: a set is never seen without its digest
        digest.of(made)
        if not replace:
            return _put(pathlib.Path(made.data_path), place)
        # Who begins to use the set meanwhile waits, and then finds the new one
        with staging.unused(place):
            os.rename(place, stage / staging.REPLACED)
            return _put(pathlib.Path(made.data_path), place)


def _download(made: tfds.core.DatasetBuilder, manual_dir: str | None) -> None:
    """Reads the official download, or draws the set, into the builder's folder."""
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
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


def _put(made: pathlib.Path, place: pathlib.Path) -> bool:
    """Moves a finished set to its place, where no other process was faster; whether it did."""
    try:
        # The only step that makes the set visible; it fails where a folder with content lies.
        os.rename(made, place)
        return True
    except OSError:
        if (place / shards.INFO).is_file():
            return False
        if not place.is_dir():
            raise
    os.rename(place, made.with_name("without description"))  # what a copy cut short leaves
    os.rename(made, place)
    return True


def _check_writable(place: pathlib.Path) -> None:
    try:
        os.makedirs(place.parent, exist_ok=True)
        if not os.access(place.parent, os.W_OK):
            raise PermissionError("not writable")
    except OSError as error:
        raise UserError(f"--data_dir: cannot write into {place.parent}: {error}") from error


def _user_error_behind(error: BaseException | None) -> UserError | None:
    """The UserError that a library wrapped in an exception of its own."""
    while error is not None:
        if isinstance(error, UserError):
            return error
        # TFDS wraps what a builder raises, at times in several layers, and not always with `from`
        error = error.__cause__ or error.__context__
    return None


def require(made: tfds.core.DatasetBuilder, name: str, data_dir: str) -> None:
    """UserError unless a set is prepared, or can be generated without a download."""
    if is_prepared(made):
        shards.check(made)
    elif needs_download(made):
        raise UserError(
            f"data.name={name!r}: not prepared in {data_dir!r}; run "
            f"`segjax data prepare {name} --manual_dir FOLDER{getattr(made, 'more_flags', '')} "
            f"--data_dir {data_dir}`, "
            "or say where it is by --data_dir (`train`: --config.data.data_dir)"
        )


def ensure_prepared(name: str, data_dir: str) -> tfds.core.DatasetBuilder:
    """The builder of a prepared set. Generated sets are made on the spot; others must be there."""
    made = builder(name, data_dir)
    require(made, name, data_dir)
    prepare(made)
    return made


def check_split(made: tfds.core.DatasetBuilder, split: str, *, path: str) -> int:
    """The number of examples of a split expression such as `train[:80%]` or `train[:9]+test[:8]`.

    That of a set that is yet to be generated is known from its config.
    """
    if not (is_prepared(made) or hasattr(made, "declared_splits")):
        raise UserError(f"config.data.name: {made.name} is not prepared; run `segjax data prepare`")
    splits = made.info.splits if is_prepared(made) else made.declared_splits()
    available = shards.in_order(splits)
    try:
        # One by one: a part that is counted backwards would take from the count of the others
        parts = [splits[part.strip()].num_examples for part in split.split("+")]
    except (KeyError, ValueError, AttributeError) as error:
        if "incompatible with" in str(error):  # as TFDS says of a range beyond the end
            there = ", ".join(f"{name} {splits[name].num_examples}" for name in available)
            raise UserError(
                f"{path}={split!r}: takes more than {made.name} has: {there}"
            ) from error
        raise UserError(
            f"{path}={split!r}: {made.name} has no such split{nearest(split, available)} "
            f"It has: {', '.join(available)}"
        ) from error
    if min(parts) < 1:  # TFDS counts backwards for a range such as [5:2]
        which = "the split" if len(parts) == 1 else "a part of it"
        raise UserError(f"{path}={split!r}: {which} is empty")
    return sum(parts)


def listing(data_dir: str) -> list[tuple[str, str]]:
    """(set/config, state) of every set that segjax knows."""
    rows = []
    for name in lookup.names("datasets"):
        made_by = lookup.find("datasets", name)
        for config in made_by.BUILDER_CONFIGS:
            try:
                found = state(builder(f"{name}/{config.name}", data_dir))
            except UserError as error:
                found = f"damaged: {error}"
            rows.append((f"{name}/{config.name}", found))
    for name in own.names(data_dir):
        try:
            found = state(builder(name, data_dir))
        except UserError as error:
            found = f"damaged: {error}"
        rows.append((name, found))
    return rows


def state(made: tfds.core.DatasetBuilder) -> str:
    """One of prepared, to be downloaded, to be generated; UserError if it is damaged."""
    if is_prepared(made):
        shards.check(made)
        return f"prepared: {shards.in_words(made)}"
    if needs_download(made):
        return "needs the official download (--manual_dir)"
    return "generated when first used"
