"""Tells whether a synthetic photograph shows a finding, and where: with and without guidance.

Command:   segjax train --config experiments/findings/demo.py --workdir work/finding
           segjax sweep --config experiments/findings/demo.py --workdir work/findings \\
               --engine population
Arguments: finding=NAME (membrane); guidance=WEIGHT (0.2), 0 for none; steps=N (1600)
Hardware:  two CPU cores, three minutes; the sweep: 12 trainings.
Expected:  membrane: AUROC 1.00 on the held-out photographs with and without guidance; the share of
           the activation inside the regions (AIR) is 0.62 with it and 0.13 without, where a map
           that is the same everywhere has 0.14 (measured: one training each, without guidance
           of 800 steps). Ranges over seeds are still to be measured.

The sweep trains one region-bound and one small finding with and without guidance, three seeds
each. The paper's weight is 1, with 66,473 photographs. A narrow network with few of them learns
later the larger the weight is, for the guidance term is lowest where nothing is active; with a
weight below 0.1 it learns to be active far from the finding, where the term hardly corrects a map
that is sure.
"""

from experiments.findings import common
from segjax.config.arguments import parse_arg
from segjax.config.sweeps import product
from segjax.data.synthetic.findings import FINDINGS

DATA, SIZE = "synthetic_findings/96px_1500_100_100", 96
SWEPT = ("membrane", "hard_exudate")
DEFAULTS = {"finding": "membrane", "guidance": 0.2, "form": "both", "steps": 1200}


def get_config(arg=None):
    args = parse_arg(arg, **DEFAULTS)
    config = common.classification(
        DATA, args["finding"], FINDINGS, guidance=args["guidance"], form=args["form"]
    )
    return common.small(config, SIZE, steps=args["steps"], learning_rate=1e-2)


def sweep():
    rows = [f"finding={finding},guidance={weight}" for finding in SWEPT for weight in (0.2, 0.0)]
    return product([{"arg": row} for row in rows], seed=[0, 1, 2])
