"""`segjax data prepare` of an official download: made once, and anew where its files changed."""

import pathlib

import tensorflow_datasets as tfds

from segjax.data import digest, sources, store
from segjax.errors import DamagedError, UserError


def prepare(
    made: tfds.core.DatasetBuilder, manual_dir: str | None, *, overwrite: bool
) -> tuple[bool, str]:
    """Prepares the set of a download; where it is there, holds it to the files that it is made of.

    Args:
        made: the builder of the set, as `store.builder` gives it.
        manual_dir: the folder of the download. Without one a set that is there is not compared.
        overwrite: whether a set that is damaged, or was made of other files, is made anew. The one
            that was there stays until the new one is complete.

    Returns: whether it was made now, and a remark for the user, '' for none.
    Raises: UserError where the set was made of other files, unless it may be overwritten; and
        where it is damaged, or the download does not serve.
    Cost: that of `sources.changes` where the set is there.
    """
    # Where another process makes it meanwhile, it was perhaps made of another folder
    if not store.is_prepared(made) and store.prepare(made, manual_dir):
        return True, ""
    store.reread(made)
    fault = _fault(made)
    if manual_dir is None and not overwrite:
        _check_whole(fault)
        return False, ""
    store.check_manual(made, manual_dir)
    found = sources.changes(pathlib.Path(made.data_path), sources.of(made, manual_dir))
    if found == "" and (other := _other_notes(made)):
        found = f"another {other}"
    if overwrite and (found != "" or fault):
        return store.prepare(made, manual_dir, replace=True), ""
    _check_whole(fault)
    if found:
        raise UserError(
            f"{made.data_path}: was prepared from something else than {manual_dir} holds: {found}; "
            "--overwrite prepares it anew, another --data_dir makes a second set"
        )
    if found is None:
        return False, (
            f"not compared with {manual_dir}, for the set has no note of its source, as those of "
            "earlier versions; --overwrite prepares it anew, with one (runs and caches go on with "
            "it where the content is the same)"
        )
    return False, ""


def _other_notes(made: tfds.core.DatasetBuilder) -> str:
    """Which note of a builder, as of predicted points, is not that of the set; '' for none."""
    for name, text in getattr(made, "notes", dict)().items():
        path = pathlib.Path(made.data_path, name)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            return name
    return ""


def _fault(made: tfds.core.DatasetBuilder) -> str:
    """Which file of a set is missing or damaged; '' for none."""
    try:
        digest.check(made)
    except DamagedError as error:
        return error.fault
    return ""


def _check_whole(fault: str) -> None:
    if fault:
        raise UserError(f"{fault}; --overwrite, with --manual_dir, prepares the set anew")
