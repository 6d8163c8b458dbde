"""What the gain of guidance rests on: without what the regions say it must vanish.

Command:   segjax sweep --config experiments/findings/sanity.py --workdir work/sanity \\
               --engine population
           segjax report work/sanity
Arguments: case=guided|unguided|paper|shuffled|random, and those of demo.py
Hardware:  12 trainings of demo.py, and 3 of one step; 15 minutes on two CPU cores.
Expected:  AIR of true positives 0.94 guided, 0.18 unguided, 0.32 by the paper's loss alone, 0.20
           `shuffled` (regions chosen by chance), 0.14 `random` (a network that is not trained), as
           a map that is the same everywhere has (docs/benchmarks.md).
"""

from experiments.findings import demo
from segjax.checks import nearest
from segjax.config.arguments import parse_arg
from segjax.config.sweeps import product
from segjax.errors import UserError

STILL = 1e-10  # a rate of 0 is none; in one step no weight moves by a millionth
CASES = ("guided", "unguided", "paper", "shuffled", "random")


def get_config(arg=None):
    args = parse_arg(arg, case="guided", **demo.DEFAULTS)
    if (case := args.pop("case")) not in CASES:
        raise UserError(f"case={case!r}: takes one of {', '.join(CASES)}{nearest(case, CASES)}")
    if case == "unguided":
        args["guidance"] = 0.0
    if case == "paper":
        args["form"] = "log"
    config = demo.get_config(",".join(f"{name}={value}" for name, value in args.items()))
    if case == "random":
        config.optimizer.learning_rate, config.train.steps = STILL, 1
    config.task_options.shuffle_regions = case == "shuffled"
    return config


def sweep():
    return product([{"arg": f"case={case}"} for case in CASES], seed=[0, 1, 2])
