"""Proposes microaneurysms on photographs of IDRiD at one scale: the first stage of the paper.

Command:   segjax data prepare idrid/lesions --manual_dir DOWNLOADS/idrid
           segjax train --config experiments/microaneurysms/hgn.py:scale=0.5 --workdir work/hgn
Arguments: scale=1|0.5         of height and width (1)
           cpu                 a narrow network and few steps, for two CPU cores
           splits=paper|part   the paper's, or shares of the official training set (paper; part
                               with cpu)
           data=NAME           another set with the fields of idrid/lesions
Hardware:  one GPU; cpu: two cores, and twice the size of the photographs of memory.
Expected:  cpu, one training, three validation photographs with lesions: AUC-PR 0.23 at scale 1,
           0.32 at 0.5; 21 and 16 minutes. At full size not measured; the paper has 0.3374 and
           0.3411 on its test photographs.
"""

from experiments.microaneurysms import common
from segjax.config.arguments import parse_arg
from segjax.recipes import microaneurysms

DEFAULTS = {"scale": 1.0, "cpu": False, "splits": "", "data": common.IDRID}


def get_config(arg=None):
    args = parse_arg(arg, **DEFAULTS)
    config = microaneurysms.hypotheses(args["data"], args["scale"], healthy="healthy=1")
    common.on_idrid(config, args["splits"] or ("part" if args["cpu"] else "paper"))
    if args["cpu"]:
        microaneurysms.small_hypotheses(config, patch=128, steps=800)
    return config
