"""Tells whether a synthetic photograph shows a finding, and where: with and without guidance.

Command:   segjax train --config experiments/findings/demo.py --workdir work/finding
           segjax sweep --config experiments/findings/demo.py --workdir work/findings \\
               --engine population
Arguments: finding=NAME (membrane); guidance=WEIGHT (0.2), 0 for none; steps=N (400)
Hardware:  two CPU cores.
Expected:  see docs/benchmarks.md.

The sweep trains one region-bound and one small finding with and without guidance, three seeds
each. The paper's weight is 1; a narrow network with few photographs then switches every map off
before it has learned the finding, for the guidance term falls fastest where nothing is active.
"""

from experiments.findings import common
from segjax.config.arguments import parse_arg
from segjax.config.sweeps import product
from segjax.data.synthetic.findings import FINDINGS

DATA, SIZE = "synthetic_findings/small", 128
SWEPT = ("membrane", "hard_exudate")
DEFAULTS = {"finding": "membrane", "guidance": 0.2, "steps": 400}


def get_config(arg=None):
    args = parse_arg(arg, **DEFAULTS)
    config = common.classification(DATA, args["finding"], "guided", args["guidance"], FINDINGS)
    return common.small(config, SIZE, steps=args["steps"], learning_rate=1e-2)


def sweep():
    rows = [f"finding={finding},guidance={weight}" for finding in SWEPT for weight in (0.2, 0.0)]
    return product([{"arg": row} for row in rows], seed=[0, 1, 2])
