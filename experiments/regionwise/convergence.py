"""How often trainings converge with either map (section 4.3 of the paper, Fig. 5).

Command:   segjax sweep --config experiments/regionwise/convergence.py:cpu --engine population
               --workdir work/convergence
           segjax report work/convergence
Arguments: cpu     synthetic volumes and a small network, 12 models a map; otherwise ACDC, 50 models
           seeds=N models a map, and those of acdc.py
Hardware:  cpu: two cores, 12 minutes; otherwise one GPU, 100 trainings of 50 epochs.
Expected:  the figure of the report shows the share of models that reached a Dice of x or less; cpu:
           below 0.5 ended 12 of 12 with RW-boundary maps, 3 of 12 with RRW (docs/benchmarks.md).
           The paper: all RRW models above 0.9, some RW-boundary models near 0.5, on ACDC.
"""

from experiments.regionwise import acdc, common, demo
from segjax.config.sweeps import product


def get_config(arg=None):
    args = common.arguments(arg)
    if args["cpu"]:
        config = demo.get_config(arg)
        config.optimizer.learning_rate = 5e-3  # at which not all trainings converge
        config.train.steps = 300
        config.evaluate.every_percent = 50
        return config
    config = acdc.get_config(arg)
    config.train.epochs = 50
    return config


def sweep(arg=None):
    models = common.seeds(arg, 12 if common.arguments(arg)["cpu"] else 50)
    return product([{"arg": "rw_boundary"}, {"arg": "rrw"}], seed=models)
