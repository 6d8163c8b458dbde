"""The work folder of a run: made, recognised, and never overwritten by mistake."""

import contextlib
import hashlib
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from segjax.config import files, modules
from segjax.config.defaults import PLACES, completed
from segjax.errors import Interrupted, UserError
from segjax.files import write_text

CONFIG = "config.json"
ENVIRONMENT = "env.json"
HOLDER = ".holder"  # who writes there (`train/holder.py`)
PROBE = ".segjax-"  # a folder that is there for a moment, to see whether one can be made
TABLE = "metrics_validation.json"
LEARNED = "learned"
BASELINE, BASELINE_BEFORE = "baseline.json", "trivial.json"  # now, and of older versions
PREDICTIONS = "predictions_sha256"  # in metrics_<split>.json: of predictions_<split>.csv
DONE = "done.json"  # written last: how training ended, and the step that TABLE is of
PIPELINE = "pipeline.json"  # of a folder of several runs (`segjax/pipelines`), each in stages/NAME
# What of a work folder is the program's own, so that nothing else belongs there
OWN = ("checkpoints", "figures", "tensorboard", "stages", "evaluation")


def check_new(workdir: pathlib.Path, config: ConfigDict) -> None:
    """UserError unless `config` may train here: a new or empty folder, or its own run."""
    if workdir.exists() and not workdir.is_dir():
        raise UserError(f"--workdir {workdir}: is a file, not a folder")
    if difference := changed(workdir, config):
        raise UserError(
            f"--workdir {workdir}: holds another experiment ({difference}); take another folder"
        )
    fresh = (workdir / CONFIG).exists() or not workdir.is_dir() or is_fresh(workdir, CONFIG)
    if not fresh:
        raise UserError(
            f"--workdir {workdir}: occupied by other files (no {CONFIG}); take another folder"
        )
    check_writable(workdir, "--workdir")


def changed(workdir: pathlib.Path, config: ConfigDict) -> str | None:
    """The first difference of a config from that of the run in a folder; None if there is none."""
    saved = workdir / CONFIG
    if not saved.exists():
        return None
    return files.first_difference(_experiment(files.from_json(saved)), _experiment(config))


def _experiment(config: ConfigDict) -> dict:
    """A config as its file has it, options left out at their defaults, without the places."""
    # Through JSON, as the saved config has been: a tuple is a list there
    content = json.loads(json.dumps(completed(config.to_dict())))
    if isinstance(content.get("data"), dict):
        content["data"] = {k: v for k, v in content["data"].items() if k not in PLACES}
    return content


def is_fresh(folder: pathlib.Path, first: str) -> bool:
    """Whether a folder holds nothing but what a run leaves that ended before it wrote `first`."""
    passing = (f".{first}.", PROBE)
    names = [path.name for path in folder.iterdir()]
    return all(name == HOLDER or name.startswith(passing) for name in names)


def kind_of(folder: pathlib.Path) -> str | None:
    """What a folder is by the files in it: that of a run, of a pipeline, or neither."""
    if (folder / CONFIG).exists() and (folder / ENVIRONMENT).exists():
        return "the work folder of a run"
    return "the folder of a pipeline" if (folder / PIPELINE).exists() else None


def check_writable(folder: pathlib.Path, flag: str) -> None:
    """UserError unless the folder, or the nearest one above it that exists, can be written into.

    It is tried out: permissions do not tell of /proc, full quotas and read-only mounts.
    """
    parent = folder
    # lexists: a link whose target is gone stands in the way of a folder, and is named below
    while not os.path.lexists(parent):
        parent = parent.parent
    if parent.is_symlink() and not parent.exists():
        raise UserError(
            f"{flag} {folder}: {parent} is a link to {parent.readlink()}, which is gone"
        )
    try:
        before = os.stat(parent)
        os.rmdir(tempfile.mkdtemp(prefix=PROBE, dir=parent))
        os.utime(parent, ns=(before.st_atime_ns, before.st_mtime_ns))  # as if nothing had been
    except OSError as error:
        raise UserError(f"{flag} {folder}: cannot write into {parent}: {error.strerror}") from error


@contextlib.contextmanager
def in_use(workdir: pathlib.Path) -> Iterator[None]:
    """Interrupted, in one line, if the folder was deleted meanwhile, whatever failed for it."""
    saved = workdir / CONFIG
    there = saved.exists()  # for all but the first process it may come later
    error = None
    try:
        yield
    except Exception as raised:
        error = raised
    # Asked where nothing failed, too: what writes may have made a deleted folder again
    if there and not saved.exists():
        raise Interrupted(
            f"{workdir}: the work folder was deleted while it was in use; the run is lost"
        ) from error
    if error is not None:
        raise error


def open_existing(workdir: pathlib.Path, places: Mapping[str, str] | None = None) -> ConfigDict:
    """The config of a trained folder; UserError when there is none or it is damaged.

    `places` has a `data_dir` or `cache_dir` that take the place of the saved ones. Modules of the
    user's that the config names are looked for beside the experiment file from now on.
    """
    if not workdir.is_dir():
        raise UserError(f"{workdir}: no such folder")
    if not (workdir / CONFIG).exists():
        if (workdir / PIPELINE).exists():
            raise UserError(
                f"{workdir}: the folder of a pipeline, which `segjax pipeline evaluate` evaluates "
                f"and reports; its runs are {workdir}/stages/NAME"
            )
        raise UserError(f"{workdir}: not a work folder (no {CONFIG})")
    # Before any name is looked up: the user's modules lie beside the experiment file
    modules.enter(experiment_of(workdir))
    config = files.from_json(workdir / CONFIG)
    if not isinstance(config.get("data"), ConfigDict):
        raise UserError(f"{workdir / CONFIG}: damaged config: its `data` is no section")
    with config.unlocked():
        config.data.update(places or {})
    return config


def experiment_of(workdir: pathlib.Path) -> pathlib.Path | None:
    """The experiment file that a folder was trained from, beside which its config's names lie."""
    text = (_read(workdir / ENVIRONMENT) or {}).get("experiment")
    return pathlib.Path(text) if isinstance(text, str) else None


def data_digest(workdir: pathlib.Path) -> str | None:
    """The digest of the data that a folder was trained on; None where it is not known."""
    data = (_read(workdir / ENVIRONMENT) or {}).get("data")
    return data.get("digest") if isinstance(data, dict) else None


def model_init_digest(workdir: pathlib.Path) -> str | None:
    """The digest of the parameters that a run began with; None for random ones."""
    found = (_read(workdir / ENVIRONMENT) or {}).get("model_init")
    return found if isinstance(found, str) else None


def examples(workdir: pathlib.Path) -> int | None:
    """The number of training examples of a run; None where it is not known."""
    found = (_read(workdir / ENVIRONMENT) or {}).get("examples")
    return found if isinstance(found, int) and found > 0 else None


def write_baseline(workdir: pathlib.Path, learned: Any) -> None:
    """Keeps what the baseline learned: numbers as a list of them, other JSON in an object."""
    numbers = isinstance(learned, list) and all(type(x) in (int, float) for x in learned)
    content = learned if numbers and learned else {LEARNED: learned}
    write_text(workdir / BASELINE, json.dumps(content) + "\n")


def read_baseline(workdir: pathlib.Path) -> Any:
    """What the baseline learned, as its task gave it; None where none was kept."""
    paths = [workdir / name for name in (BASELINE, BASELINE_BEFORE)]
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        return None
    try:
        content = json.loads(path.read_bytes())
        if isinstance(content, dict) and LEARNED in content:
            return content[LEARNED]
        if not isinstance(content, list) or not content:
            raise ValueError("it holds no list")
        return [value if type(value) is int else float(value) for value in content]
    except (OSError, TypeError, ValueError) as error:
        raise UserError(f"{path}: cannot read it: {error}; train again") from error


def read_done(workdir: pathlib.Path) -> dict | None:
    """What DONE says of the end of training; None while it goes on."""
    # Here, for it brings JAX: those who only look into folders (`sweep --status`) do without
    from segjax.train.loop_state import from_saved

    ended = {k: v for k, v in (_read(workdir / DONE) or {}).items() if k != "table"}
    try:
        from_saved(ended)
    except ValueError:  # damaged, or not there: training ends again at its last checkpoint
        return None
    return ended


def write_done(workdir: pathlib.Path, ended: dict, step: int) -> None:
    """Says that all is done: training, and the table of the checkpoint of `step`."""
    write_text(workdir / DONE, json.dumps(ended | {"table": step}) + "\n")


def is_done(workdir: pathlib.Path) -> bool:
    """Whether the run of a folder came to its very end, and its own table is there still.

    Someone may have evaluated the folder before the run did, or another checkpoint after it.
    Versions before wrote DONE when training ended, the table next, and report.md at the very end.
    """
    done, table = _read(workdir / DONE), workdir / TABLE
    if done is None or not table.exists():
        return False
    if "table" not in done and not (workdir / "report.md").exists():
        return False
    if not of_one_evaluation(workdir, "validation"):
        return False
    # Older versions named the best step at most; -1 is none, and then any table will do
    step = done.get("table", done.get("best_step", -1))
    evaluated = (_read(table) or {}).get("step", step)  # a damaged table is named where it is read
    return step < 0 or evaluated == step


def table_step(workdir: pathlib.Path) -> int | None:
    """The step that the table of a run which came to its end is of; None where it does not say."""
    step = (_read(workdir / DONE) or {}).get("table")
    return step if type(step) is int and step >= 0 else None


def of_one_evaluation(workdir: pathlib.Path, split: str) -> bool:
    """Whether metrics_<split>.json is of the predictions_<split>.csv beside it.

    Two files cannot be replaced at once: an evaluation may be killed between them, or meet another.
    """
    saved = (_read(workdir / f"metrics_{split}.json") or {}).get(PREDICTIONS)
    table = workdir / f"predictions_{split}.csv"
    return saved is None or (
        table.exists() and saved == hashlib.sha256(table.read_bytes()).hexdigest()
    )


def is_object(path: pathlib.Path) -> bool:
    """Whether a file holds a JSON object."""
    return _read(path) is not None


def _read(path: pathlib.Path) -> dict | None:
    """A JSON object; None if there is none, or it is damaged."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
