"""`segjax new`: an experiment file for a prepared set, to read, to train and to change.

What it writes is decided by rules, from the fields of the set: the task, its classes, the size of
images and network that a laptop trains in minutes, the losses of its sweep.
"""

import pathlib
from typing import Any

from segjax.checks import nearest
from segjax.data import fields, own, store
from segjax.data.volumes import planning
from segjax.data.volumes.plan import read_plan
from segjax.errors import UserError
from segjax.files import write_text
from segjax.launch import records, templates

WRONG = "\\\"':\n\r\t"  # in the docstring of a file, or before the arguments behind its name
TASKS = (*templates.LOSSES, "guided_classification", templates.LESIONS)


def write(
    path: pathlib.Path, data: str, data_dir: str, task: str | None = None
) -> tuple[str, list[pathlib.Path]]:
    """Writes the experiment file; the task that it has, and what else was written for it.

    That is the plan of a set of volumes with its fingerprint, and the folder of a set that had to
    be generated.

    Args:
        path: of the file, which may not exist yet.
        data: the prepared set.
        data_dir: where it lies.
        task: of those that its fields allow; None takes the first.

    Raises: UserError for a set that is not prepared or has nothing to learn from, a task that does
        not fit it, and a path that cannot be written or is taken.
    """
    if path.suffix != ".py":
        raise UserError(f"{path}: takes the name of a Python file, such as experiments/{data}.py")
    if wrong := [character for character in WRONG if character in str(path)]:
        raise UserError(f"{path}: takes a path without {wrong[0]!r}")
    if path.exists():
        raise UserError(f"{path}: exists already; take another name")
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}")
    if task is not None and task not in TASKS:
        known = ", ".join(TASKS)
        raise UserError(
            f"--task {task}: `segjax new` has no such task{nearest(task, TASKS)} It has: {known}"
        )
    fresh = not store.is_prepared(store.builder(data, data_dir))
    made = store.ensure_prepared(data, data_dir)
    if "validation" not in made.info.splits and own.folder_of(data, data_dir):
        raise UserError(
            f"--data {data}: holds nothing out for validation, by which a checkpoint is chosen; "
            "prepare it without --validation 0"
        )
    fitting = _tasks(made)
    if not fitting:
        raise UserError(
            f"--data {data}: has no masks, points, findings or labelled volumes, which segjax has "
            "tasks for"
        )
    task = task or next(iter(fitting))
    if task not in fitting:
        has = ", ".join(fitting)
        raise UserError(f"--task {task}: {data} has no fields for it; it has those of {has}")
    beside, more = [pathlib.Path(made.data_path)] if fresh else [], {}
    if fields.is_volumes(made):
        plan = planning.write_plan(data, data_dir, None, "v1", "train")
        beside += [plan, planning.fingerprint_path(plan)]
        more = {"plan": read_plan(plan)}
    write_text(path, fitting[task](path, data, data_dir, made, **more))
    return task, beside


def command(path: pathlib.Path, task: str) -> str:
    """What trains the file of a task."""
    if task == templates.LESIONS:
        return f"segjax pipeline train {templates.quote(path)} --workdir DIR"
    return f"segjax train --config {templates.quote(path)} --workdir DIR"


def _tasks(made: Any) -> dict[str, Any]:
    """What writes the file of each task that the fields of a set allow."""
    if fields.is_volumes(made):
        return {"volume_segmentation": templates.volumes}
    # First: its disc and fovea say where the regions are
    found = {"guided_classification": templates.findings} if fields.findings(made) else {}
    if fields.masks(made):
        found["segmentation"] = templates.segmentation
        # Pixels that nobody has looked at would count as healthy there
        if not fields.has_annotated(made):
            found[templates.LESIONS] = templates.lesions
    if fields.points(made) and not (fields.findings(made) and records.lacks_points(made)):
        found["localization"] = templates.localization
    return found


def shrunk(data: str, data_dir: str, task: str) -> str:
    """What to say where photographs are larger than the network sees them; '' where they are not.

    By the first one of the training split.
    """
    made = store.ensure_prepared(data, data_dir)
    if fields.is_volumes(made) or task == templates.LESIONS:
        return ""
    height, width = templates.first_size(made)
    if max(height, width) <= templates.SIDE:
        return ""
    patches = (
        f", task_options.full_size=({height}, {width}) trains on patches instead"
        if fields.masks(made)
        else ""
    )
    side = templates.SIDE
    return (
        f"photographs of {height} x {width} pixels are brought to {side} x {side}"
        f"{', with other proportions' * (height != width)}, which costs detail: "
        f"size=PIXELS behind the file's name changes it{patches}"
    )
