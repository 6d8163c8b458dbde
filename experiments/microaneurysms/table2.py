"""Table 2 of the paper: eight rows from four trained networks, at two scales and in two stages.

Command:   segjax pipeline train experiments/microaneurysms/table2.py --workdir work/table2
           segjax pipeline evaluate experiments/microaneurysms/table2.py --workdir work/table2
Arguments: cpu                 narrow networks, a stride of 4, at most 20,000 patches a photograph
           splits=paper|part   as of hgn.py
           data=NAME           another set with the fields of idrid/lesions
Hardware:  one GPU; cpu: two cores, 62 minutes and 5 GB of memory with the 30 photographs at hand.
Expected:  cpu, one training, four test photographs with lesions, which decide no order: AUC-PR 0.25
           at scale 1, 0.37 at 0.5 and fused, 0.41 refined by cls, 0.43 by PRN (docs/benchmarks.md).
           At full size not measured. The paper's figures, and the first three of the challenge,
           stand beside ours in the report, marked as such.
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
