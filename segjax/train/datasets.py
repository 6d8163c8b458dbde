"""Opens the splits that a config names, as batches for a task."""

from typing import Any

from ml_collections import ConfigDict

from segjax.checks import nearest
from segjax.data import digest, pipeline, store
from segjax.errors import UserError
from segjax.train import volumes


def split_expression(config: ConfigDict, name: str) -> str:
    """What `name` stands for in `config.data.splits`."""
    splits = config.data.splits
    if name not in splits:
        raise UserError(
            f"split {name!r}: config.data.splits has no such split{nearest(name, splits)} "
            f"It has: {', '.join(splits)}"
        )
    return splits[name]


def count(config: ConfigDict, name: str) -> int:
    """The number of examples of a split, from the prepared set's description alone.

    Volumes have no natural epoch: it is the patches of as many batches as the task says.
    """
    made = store.ensure_prepared(config.data.name, config.data.data_dir)
    expression = split_expression(config, name)
    examples = store.check_split(made, expression, path=f"config.data.splits.{name}")
    batches = config.task_options.get("epoch_batches")
    return batches * config.data.batch_size if batches and name == "train" else examples


def data_digest(config: ConfigDict) -> str:
    """The digest of the prepared set that a config names."""
    return digest.of(store.ensure_prepared(config.data.name, config.data.data_dir))


def changed_data(found: str, trained: str) -> str:
    """What is said where a run is looked at on other data than it was trained on."""
    return (
        f"evaluated on data of digest {digest.short(found)}, but trained on "
        f"{digest.short(trained)}: the prepared set has changed since"
    )


def image_names(config: ConfigDict, name: str) -> list[str]:
    """The `image_id` of every example, in the order of the split."""
    made = store.ensure_prepared(config.data.name, config.data.data_dir)
    source = store.open_split(made, split_expression(config, name), ("image_id",))
    return [source[index]["image_id"].decode() for index in range(len(source))]


def open_records(config: ConfigDict, task: Any, name: str) -> pipeline.Records:
    """The examples of a split, converted by the task."""
    made = store.ensure_prepared(config.data.name, config.data.data_dir)
    expression = split_expression(config, name)
    store.check_split(made, expression, path=f"config.data.splits.{name}")
    absent = [field for field in task.fields if field not in made.info.features]
    if absent:
        raise UserError(
            f"config.data.name={config.data.name!r}: has no field {', '.join(absent)}, "
            f"which task {config.task!r} wants"
        )
    source = store.open_split(made, expression, task.fields)
    size = config.data.image_size
    return pipeline.Records(source, lambda example: task.record(example, size))


def open_split(config: ConfigDict, task: Any, name: str):
    """The split as batches: resident on the device if it fits and the config lets it."""
    if task.on_volumes:
        return volumes.open_patches(config, task, split_expression(config, name))
    records = open_records(config, task, name)
    fits = records.megabytes() <= config.data.resident_megabytes
    if config.data.resident == "yes" or (config.data.resident == "auto" and fits):
        return pipeline.Resident(records, label=name)
    return pipeline.Streamed(records)
