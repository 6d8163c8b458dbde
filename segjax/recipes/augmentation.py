"""The augmentations of a task, all written out."""

from segjax.checks import nearest
from segjax.config import lookup
from segjax.errors import UserError


def augmentations(task: str, **strengths: float) -> dict[str, float]:
    """The section `config.data.augment`: every augmentation of a task by name.

    Photographs are augmented by nothing but what is given here; slices of volumes as nnU-Net does,
    with its probabilities and ranges, unless told otherwise. 0 switches one off.

    Args:
        task: its name, or `package.module:Class`.
        strengths: those that differ from the task's defaults.

    Raises: UserError for an augmentation that the task does not have.
    """
    known = lookup.find("tasks", task, "task").augmentations()
    for name in strengths:
        if name not in known:
            raise UserError(
                f"augmentation {name!r}: task {task!r} has no such{nearest(name, known)} "
                f"It has: {', '.join(known)}"
            )
    return {**known, **strengths}
