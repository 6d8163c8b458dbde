"""The trainings of a pipeline: a work folder each, below `stages/`."""

import contextlib
import gc
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping

from ml_collections import ConfigDict

from segjax import files
from segjax.config.files import first_difference
from segjax.errors import Interrupted, UserError
from segjax.inference.open import Trained, load_trained
from segjax.launch import job, status
from segjax.pipelines.definition import NAME, Definition
from segjax.train import holder, workdir

FOLDER = "stages"


def folder_of(workdir_: pathlib.Path, name: str) -> pathlib.Path:
    """The work folder of a stage."""
    return workdir_ / FOLDER / name


def train(definition: Definition, folder: pathlib.Path, say: Callable[[str], object]) -> None:
    """Trains what is missing, stage by stage; a stage that was interrupted goes on.

    Every stage is checked before the first one trains.
    """
    check(definition, folder)
    for name, config in definition.stages.items():
        with _naming(name):
            job.check(config, folder_of(folder, name))
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
                job.train(config, place)
            gc.collect()  # photographs of one stage go before those of the next come


def write(definition: Definition, folder: pathlib.Path) -> None:
    """Keeps the definition, from which folders are opened later."""
    files.write_text(folder / NAME, json.dumps(definition.content, indent=1) + "\n")


def check(definition: Definition, folder: pathlib.Path) -> None:
    """UserError naming the first stage whose run is that of another config."""
    workdir.check_writable(folder, "--workdir")
    if folder.is_dir() and not (folder / NAME).exists() and not workdir.is_fresh(folder, NAME):
        raise UserError(f"--workdir {folder}: holds something else than a pipeline")
    for name, config in definition.stages.items():
        place = folder_of(folder, name)
        if (place / workdir.CONFIG).exists():
            check_same(name, place, config)


def check_same(name: str, place: pathlib.Path, config: ConfigDict) -> None:
    """UserError where the run of a stage was made from another config."""
    saved = workdir.open_existing(place).to_dict()
    here = config.to_dict()
    for content in (saved, here):
        for field in ("data_dir", "cache_dir"):
            content["data"].pop(field, None)
    if difference := first_difference(_through_json(saved), _through_json(here)):
        raise UserError(
            f"stage {name}: {place} was trained with another config ({difference}); take another "
            "folder, or remove that one"
        )


def told(definition: Definition, folder: pathlib.Path) -> str:
    """The state of each stage, a line each."""
    lines = []
    for name in definition.stages:
        _, shown = status.state_of(folder_of(folder, name))
        lines.append(f"{name}: {shown}")
    return "\n".join(lines)


def open_all(
    definition: Definition, folder: pathlib.Path, places: Mapping[str, str] | None = None
) -> dict[str, Trained]:
    """The trained networks that maps are made of; UserError naming a stage that is not ready."""
    opened = {}
    for name in (*definition.proposals, *definition.refinements):
        place = folder_of(folder, name)
        if not (place / workdir.CONFIG).exists():
            raise UserError(f"stage {name}: {place} is missing; run `segjax pipeline train`")
        check_same(name, place, definition.stages[name])
        if not workdir.is_done(place):
            raise UserError(
                f"stage {name}: {place} has not come to its end; `segjax pipeline train` goes on"
            )
        with _naming(name):
            opened[name] = load_trained(place, places=places)
    return opened


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    """Puts the name of a stage in front of what is wrong with it."""
    try:
        yield
    except UserError as error:
        raise UserError(f"stage {name}: {error}") from error
    except Interrupted as error:
        raise Interrupted(f"stage {name}: {error}") from error


def _through_json(content: Mapping) -> dict:
    return json.loads(json.dumps(content))
