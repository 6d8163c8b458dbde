"""Finds the fovea on the photographs of IDRiD, part C (83 of the 413 kept for validation)."""

from experiments.fovea import common
from segjax.config.arguments import parse_arg


def get_config(arg=None):
    args = parse_arg(arg, cpu=False, paper=False, loss="msce", network="max/sum", batch=8)
    size = 128 if args["cpu"] else 256
    features = (8, 16, 32, 64) if args["cpu"] else (32, 64, 128, 256)
    config = common.localization(
        "idrid/localization", args["loss"], args["network"], features, size
    )
    config.data.splits = {"train": "train[:330]", "validation": "train[330:]", "test": "test"}
    config.data.batch_size = args["batch"]
    common.quick_optimizer(config, steps=1200, learning_rate=3e-3)
    return config
