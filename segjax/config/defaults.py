"""The fields that every experiment has, with defaults that work on a laptop.

An experiment file starts from `base()` and fills in what is its own; every field it leaves alone is
written out all the same, in its config.json and for `--config.path=value`.
"""

from collections.abc import Mapping

from ml_collections import ConfigDict

from segjax.config import components
from segjax.config.durations import blank, siblings

# Sections whose keys an experiment chooses; what they may hold is checked by those who read them.
OPEN = ("config.data.splits",)
# Fields of `config.data` that say where things lie on a machine: no part of an experiment.
PLACES = ("data_dir", "cache_dir")


def base() -> ConfigDict:
    """A config with every common field; `task`, `model`, `loss`, `data.name` are still to set."""
    # Not type safe: sections are replaced as a whole, so their types may change while the file is
    # being read.
    return ConfigDict(_fields(), type_safe=False)


def _fields() -> dict:
    """Every common field, at its default."""
    return {
        "seed": 0,
        "task": "",
        "task_options": {},
        "dtype": "float32",  # of the computation; parameters are float32. Also: bfloat16
        "parallel": "sharding",  # one jit over all devices; or pmap
        "model": {},
        "model_init": "",  # begin with another run, a .safetensors file or cellpose's weights
        "loss": {},  # one section a term: name, weight and the loss's options
        "data": {
            "name": "",  # data set, or data set/config
            "data_dir": "data",  # where prepared sets live
            "cache_dir": "",  # of what is preprocessed; '' is DATA_DIR/preprocessed
            "plan_digest": "",  # of the data that the plan in use was measured on
            "image_size": (128, 128),  # height, width in pixels
            "batch_size": 8,  # over all devices
            "splits": {"train": "train", "validation": "validation", "test": "test"},
            "resident": "auto",  # on the device as one array: yes, no, or auto (when it fits)
            "resident_megabytes": 2048,  # what counts as fitting
            "augment": {},
        },
        "optimizer": {},
        "schedule": {},
        "train": {
            **blank("", steps=1000),
            **blank("patience"),  # stop when the monitored value has not improved for so long
            "clip_norm": None,  # global norm of the gradient
        },
        "evaluate": {
            **blank("every", epochs=1),
            "batch_size": 16,
            "best": "loss",  # the validation value that chooses the best checkpoint
            "best_mode": "min",
        },
        "checkpoint": {**blank("every", percent=10), "keep": 2},
        "paper": {},  # the paper's own figures by metric, shown beside ours and marked as such
        "log": {**blank("every", steps=10), "tensorboard": True, "profile_steps": 0},
    }


def completed(saved: Mapping) -> dict:
    """A saved config with the fields that came after it was saved, at their defaults.

    So are the options of what it names: task, model, losses, optimiser, schedules. It then means
    what it meant when it was saved, for an option left out has always been the default.
    """
    return components.completed(_completed(saved, _fields(), "config"))


def _completed(saved: Mapping, pattern: Mapping, path: str) -> dict:
    made = dict(saved)
    for key, default in pattern.items():
        here = f"{path}.{key}"
        if key not in saved:
            # Asked for the key, not for a value: a saved duration of all None means none
            spelt = any(other in saved for other in siblings(key))
            made[key] = None if spelt else default
        elif isinstance(saved[key], Mapping) and isinstance(default, Mapping) and here not in OPEN:
            made[key] = _completed(saved[key], default, here)
    return made
