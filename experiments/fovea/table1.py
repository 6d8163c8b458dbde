"""Table 1 of the paper: three losses, two networks, two batch sizes; nine rows times three seeds.

Command:   segjax sweep --config experiments/fovea/table1.py:paper --workdir work/table1
           segjax report work/table1
Arguments: data=refuge2|idrid, and those of the two experiment files: paper, cpu, loss, network,
    batch
Hardware:  27 trainings; paper: one GPU or TPU. `data=idrid,cpu` trains on two cores in a few hours.
Expected:  the paper's own figures stand beside ours in the report, marked as such.
"""

from experiments.fovea import common, idrid, refuge2
from segjax.config.arguments import parse_arg
from segjax.config.sweeps import product
from segjax.errors import UserError

DATA = {"idrid": idrid, "refuge2": refuge2}


def get_config(arg=None):
    args = parse_arg(
        arg, data="refuge2", cpu=False, paper=False, loss="msce", network="max/sum", batch=8
    )
    data = args.pop("data")
    if data not in DATA:
        raise UserError(f"data={data!r}: takes one of {', '.join(DATA)}")
    words = ",".join(f"{key}={value}" for key, value in args.items())
    return DATA[data].get_config(words)


def sweep():
    groups = [("ave/mean", 8), ("max/sum", 16), ("max/sum", 8)]
    rows = [
        {"arg": f"loss={loss},network={network},batch={batch}"}
        for network, batch in groups
        for loss in common.LOSSES
    ]
    return product(rows, seed=[0, 1, 2])
