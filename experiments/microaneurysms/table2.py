"""Table 2 of the paper: eight rows from four trained networks, at two scales and in two stages.

Command:   segjax pipeline train experiments/microaneurysms/table2.py --workdir work/table2
           segjax pipeline evaluate experiments/microaneurysms/table2.py --workdir work/table2
Arguments: cpu                 narrow networks, a stride of 4, at most 20,000 patches a photograph
           splits=paper|part   as of hgn.py
           data=NAME           another set with the fields of idrid/lesions
Hardware:  one GPU; cpu: two cores.
Expected:  not measured yet. The paper's figures, and the first three of the challenge, stand
           beside ours in the report, marked as such.
"""

from experiments.microaneurysms import hgn, paper, prn
from segjax.config.arguments import parse_arg
from segjax.recipes import microaneurysms

STRIDE, MOST = 4, 20_000


def get_pipeline(arg=None):
    args = parse_arg(arg, cpu=False, splits="", data=hgn.DEFAULTS["data"])
    words = [f"data={args['data']}", *(["cpu"] if args["cpu"] else [])]
    words += [f"splits={args['splits']}"] if args["splits"] else []
    rest = ",".join(words)
    stages = {
        "hgn_1x": hgn.get_config(f"scale=1.0,{rest}"),
        "hgn_05x": hgn.get_config(f"scale=0.5,{rest}"),
        "cls": prn.get_config(f"cls,{rest}"),
        "prn": prn.get_config(f"triplet,{rest}"),
    }
    small = {"strides": (STRIDE,), "most_patches": MOST} if args["cpu"] else {}
    return microaneurysms.two_stages(stages, paper=paper.TABLE_2, **small)
