"""Table 1 of the paper: findings by Inception-v3, and by its network with and without guidance.

Command:   segjax sweep --config experiments/findings/table1.py --workdir work/findings
           segjax report work/findings
Arguments: finding=NAME, model=guided|inception, guidance=WEIGHT;
           data=NAME   a set with these findings (synthetic_findings/512)
           seeds=N     of each row (1)
Hardware:  21 trainings a seed at 512 pixels: one GPU or TPU.
Expected:  not measured. The paper's figures, on its own photographs, stand beside ours in the
           report, marked as such.
"""

from experiments.findings import common, paper
from segjax.config.arguments import parse_arg
from segjax.config.sweeps import product
from segjax.recipes import findings

KNOWN = tuple(paper.AUROC)
ROWS = ("model=inception", "guidance=1.0", "guidance=0.0")


def arguments(arg):
    return parse_arg(
        arg,
        finding="macular_hole",
        model="guided",
        guidance=findings.GUIDANCE,
        data="synthetic_findings/512",
        seeds=1,
    )


def get_config(arg=None):
    args = arguments(arg)
    config = common.classification(
        args["data"],
        args["finding"],
        findings.FINDINGS,
        model=args["model"],
        guidance=args["guidance"],
    )
    config.paper = paper.figures(args["finding"], args["model"], guided=args["guidance"] > 0)
    return findings.guided_paper_training(config)


def sweep(arg=None):
    rows = [{"arg": f"finding={finding},{row}"} for finding in KNOWN for row in ROWS]
    return product(rows, seed=range(arguments(arg)["seeds"]))
