"""Tells whether a synthetic photograph shows a finding, and where: with and without guidance.

Command:   segjax train --config experiments/findings/demo.py --workdir work/finding
           segjax sweep --config experiments/findings/demo.py --workdir work/findings \\
               --engine population
Arguments: finding=NAME (membrane); guidance=WEIGHT (0.2), 0 for none;
           form=both|log|complement   of the guidance loss (both); steps=N (1200)
Hardware:  two CPU cores, two minutes; the sweep, 12 trainings, 13 minutes; a minute more
           once for its photographs.
Expected:  on the test photographs, over three seeds: membrane: AUROC 1.00 with guidance and
           without; the share of the activation inside the regions (AIR, of true positives) 0.93 to
           0.95 with it and 0.19 to 0.20 without, where a map that is the same everywhere has 0.15.
           hard_exudate: AUROC 0.95 and 0.95 to 0.97; AIR 0.63 to 0.75 and 0.47 to 0.53, where such
           a map has 0.30 (docs/benchmarks.md has the intervals).

The sweep trains one region-bound and one small finding with and without guidance, three seeds
each. The paper's loss, form=log, has a weight of 1 and 66,473 photographs. Alone it is not enough
for a narrow network that has few: it hardly moves a map that is sure of a wrong place. By weight
0.2 it reaches an AIR of 0.18 to 0.41 on membranes (recipes/findings.py: guided_loss).
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
