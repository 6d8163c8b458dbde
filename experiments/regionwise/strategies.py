"""What rescues unstable maps (section 4.4 of the paper, Fig. 6): a partner, equal or gradual.

Command:   segjax sweep --config experiments/regionwise/strategies.py:cpu --engine population
               --workdir work/strategies
           segjax report work/strategies
Arguments: cpu     synthetic volumes and a small network, 3 models a strategy; otherwise ACDC, 50
           seeds=N models a strategy, and those of acdc.py
Hardware:  cpu: two cores, 14 minutes for 300 steps; otherwise one GPU.
Expected:  the learning curves are panels (a) and (b) of the figure, the distribution of
           Dice its panel (c). Both maps with Dice or cross entropy beside them, in equal parts or
           giving way to the maps; and each map alone. cpu: Dice that gives way rescues both maps
           (docs/benchmarks.md).
"""

from experiments.regionwise import acdc, common, demo
from segjax.config.sweeps import product


def get_config(arg=None):
    if not common.arguments(arg)["cpu"]:
        return acdc.get_config(arg)
    config = demo.get_config(arg)
    config.optimizer.learning_rate = 5e-3  # at which not all trainings converge
    config.train.steps = 500
    return config


def sweep(arg=None):
    models = common.seeds(arg, 3 if common.arguments(arg)["cpu"] else 50)
    rows = [{"arg": loss} for loss in ("rw_boundary", "rrw", *common.STRATEGIES)]
    return product(rows, seed=models)
