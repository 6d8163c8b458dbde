"""The options of a task, all written out."""

from ml_collections import ConfigDict

from segjax.config.lookup import spec


def task_options(name: str, **options: object) -> ConfigDict:
    """The section `config.task_options` of a task: every option it takes, defaults written out.

    Only what is written out can be set by `--config.task_options.X=`.

    Args:
        name: of the task, or `package.module:Class`.
        options: those that differ from their defaults.

    Raises: UserError for a task that does not exist, and an option that it does not take.

    Example:
        >>> task_options("localization", decode="centroid").to_dict()
        {'target': 'fovea', 'decode': 'centroid', 'pool': 'max', 'reduce': 'sum'}
    """
    section = spec("tasks", name, **options)
    del section["name"]  # `config.task` holds it
    return section
