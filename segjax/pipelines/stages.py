"""The trainings of a pipeline: a work folder each, below `stages/`."""

import contextlib
import gc
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from ml_collections import ConfigDict

from segjax.config import files as configs
from segjax.config.defaults import PLACES, completed
from segjax.errors import DamagedError, Interrupted, UserError
from segjax.files import write_text
from segjax.inference.open import Trained, load_trained, open_parts
from segjax.launch import job, status
from segjax.pipelines.definition import NAME, Definition
from segjax.tasks.base import Task
from segjax.train import checkpoint, holder, workdir
from segjax.train.watchdog import Watchdog

FOLDER = "stages"


def folder_of(workdir_: pathlib.Path, name: str) -> pathlib.Path:
    """The work folder of a stage."""
    return workdir_ / FOLDER / name


def train(
    definition: Definition, folder: pathlib.Path, say: Callable[[str], object], limit: float
) -> None:
    """Trains what is missing, stage by stage; a stage that was interrupted goes on.

    Every stage is checked before the first one trains.

    Args:
        definition, folder: of the pipeline.
        say: is told of each stage.
        limit: seconds, after which a stage that hangs is ended; 0 for never.
    """
    check(definition, folder)
    for name, config in definition.stages.items():
        place = folder_of(folder, name)
        _check_config(name, place)
        if workdir.is_done(place):
            _check_kept(name, place)
        with _naming(name):
            job.check(config, place)
    folder.mkdir(parents=True, exist_ok=True)
    with holder.hold(folder):
        write(definition, folder)
        for number, (name, config) in enumerate(definition.stages.items(), start=1):
            place = folder_of(folder, name)
            head = f"stage {number} of {len(definition.stages)}, {name}"
            if workdir.is_done(place):
                say(f"{head}: trained already")
                continue
            say(f"{head}: {place}")
            with _naming(name):
                job.train(config, place, Watchdog(limit))
            gc.collect()  # photographs of one stage go before those of the next come


def write(definition: Definition, folder: pathlib.Path) -> None:
    """Keeps the definition, from which folders are opened later."""
    write_text(folder / NAME, json.dumps(definition.content, indent=1) + "\n")


def check(definition: Definition, folder: pathlib.Path) -> None:
    """UserError naming the first stage whose run is that of another config."""
    check_folder(folder)
    workdir.check_writable(folder, "--workdir")
    for name, config in definition.stages.items():
        check_same(name, folder_of(folder, name), config)


def check_folder(folder: pathlib.Path) -> None:
    """UserError for a folder that holds something else than a pipeline; changes nothing."""
    if not folder.is_dir() or (folder / NAME).exists() or workdir.is_fresh(folder, NAME):
        return
    what = "the run of a single config" if (folder / workdir.CONFIG).exists() else "other files"
    raise UserError(f"--workdir {folder}: holds {what}, no pipeline; take another folder")


def check_same(name: str, place: pathlib.Path, config: ConfigDict) -> None:
    """UserError where there is a run of a stage that was made from another config."""
    if difference := difference_of(name, place, config):
        raise UserError(
            f"stage {name}: {place} was trained with another config ({difference}); give the "
            "arguments and --config words that it was trained with, take another folder, or remove "
            "that one"
        )


def difference_of(name: str, place: pathlib.Path, config: ConfigDict) -> str | None:
    """What the config of a stage's run has otherwise; None where there is no run."""
    if not (place / workdir.CONFIG).exists():
        return None
    # Not by `workdir.open_existing`, which would look for modules where that run found them
    with _naming(name):
        saved = configs.from_json(place / workdir.CONFIG)
    return configs.first_difference(_comparable(saved), _comparable(config))


def _comparable(config: ConfigDict) -> dict:
    """A config with all its options, as JSON has it, wherever its data lie."""
    content = json.loads(json.dumps(completed(config.to_dict())))
    if isinstance(content.get("data"), dict):
        content["data"] = {k: v for k, v in content["data"].items() if k not in PLACES}
    return content


def told(definition: Definition, folder: pathlib.Path) -> str:
    """The state of each stage, a line each."""
    check_folder(folder)
    lines = []
    for name, config in definition.stages.items():
        place = folder_of(folder, name)
        _, shown = status.state_of(place)
        if difference := difference_of(name, place, config):
            shown += f", with another config ({difference})"
        lines.append(f"{name}: {shown}")
    return "\n".join(lines)


def check_ready(definition: Definition, folder: pathlib.Path, names: Sequence[str]) -> None:
    """UserError naming the first of some stages that has not come to its end; changes nothing."""
    for name in names:
        place = folder_of(folder, name)
        _check_config(name, place)
        if not (place / workdir.CONFIG).exists():
            raise UserError(f"stage {name}: {place} is missing; run `segjax pipeline train`")
        check_same(name, place, definition.stages[name])
        if not workdir.is_done(place):
            raise UserError(
                f"stage {name}: {place} has not come to its end; `segjax pipeline train` goes on"
            )
        _check_kept(name, place)


def _check_config(name: str, place: pathlib.Path) -> None:
    """UserError where there is something of a stage, but not its config."""
    if place.exists() and not (place / workdir.CONFIG).exists():
        if not place.is_dir() or not workdir.is_fresh(place, workdir.CONFIG):
            raise UserError(
                f"stage {name}: {place} has no {workdir.CONFIG} any more; remove it, and `segjax "
                "pipeline train` makes it again"
            )


def _check_kept(name: str, place: pathlib.Path) -> None:
    """UserError where a run came to its end, and its checkpoints are gone."""
    if not checkpoint.has_any(place, "latest"):
        raise UserError(
            f"stage {name}: {place} has no checkpoint any more; remove it, and `segjax pipeline "
            "train` makes it again"
        )


def tasks_of(
    definition: Definition,
    folder: pathlib.Path,
    names: Sequence[str],
    places: Mapping[str, str] | None = None,
) -> dict[str, Task]:
    """The tasks of some stages that are ready, before a checkpoint is read."""
    check_ready(definition, folder, names)
    found = {}
    for name in names:
        with _naming(name):
            parts = open_parts(folder_of(folder, name), places, needs_data=False)
            found[name] = parts.task
    return found


def open_all(
    definition: Definition,
    folder: pathlib.Path,
    names: Sequence[str],
    places: Mapping[str, str] | None = None,
) -> dict[str, Trained]:
    """Some trained networks; UserError naming a stage that is not ready, before any is loaded."""
    check_ready(definition, folder, names)
    opened = {}
    for name in names:
        with _naming(name):
            opened[name] = made = load_trained(folder_of(folder, name), places=places)
        found, wanted = int(made.state.step), workdir.table_step(made.folder)
        if wanted not in (None, found):
            raise UserError(
                f"stage {name}: {made.folder}: its checkpoint is of step {found}, its table of "
                f"step {wanted}: one of them is another training's; remove it, and `segjax "
                "pipeline train` makes it again"
            )
    return opened


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    """Puts the name of a stage in front of what is wrong with it."""
    try:
        yield
    except DamagedError as error:  # its remedy is a flag that pipelines do not have
        raise UserError(
            f"stage {name}: {error.fault}; remove its folder, and `segjax pipeline train` makes it "
            "again"
        ) from error
    except UserError as error:
        raise UserError(f"stage {name}: {error}") from error
    except Interrupted as error:
        raise Interrupted(f"stage {name}: {error}") from error
