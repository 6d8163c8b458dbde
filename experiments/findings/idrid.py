"""Tells whether photographs of IDRiD show a finding, and where, from masks and healthy eyes.

Command:   segjax data prepare idrid/findings --manual_dir DOWNLOADS/idrid --fovea work/idrid
           segjax train --config experiments/findings/idrid.py:hard_exudate,cpu \\
               --workdir work/exudates
Arguments: a finding by its word: hard_exudate, haemorrhage, microaneurysm, cotton_wool_patch;
           cpu                  a narrow network at 128 pixels, for two CPU cores
           guidance=WEIGHT      1, as in the paper; 0.2 with `cpu`; 0 for none
           form=log|complement|both   log, as in the paper; both with `cpu`
           model=guided|inception
Hardware:  cpu: two cores, a minute; otherwise one GPU.
Expected:  see docs/benchmarks.md. `--fovea` names a run of experiments/fovea/idrid.py.

The official training sets have 54 photographs with masks and 134 healthy ones; 60 % train.
"""

from experiments.findings import common
from segjax.config.arguments import parse_arg
from segjax.config.sweeps import product
from segjax.data.sets.idrid_findings import FINDINGS
from segjax.errors import UserError
from segjax.recipes import findings

SPLITS = {"train": "train[:60%]", "validation": "train[60%:]"}


def arguments(arg):
    known = dict.fromkeys(FINDINGS, False)
    known |= {"cpu": False, "guidance": findings.GUIDANCE, "form": "log", "model": "guided"}
    if parse_arg(arg, **known)["cpu"]:
        known |= {"guidance": 0.2, "form": "both"}
    args = parse_arg(arg, **known)
    chosen = [name for name in FINDINGS if args[name]] or ["hard_exudate"]
    if len(chosen) > 1:
        raise UserError(f"config arguments {', '.join(chosen)}: one finding a training")
    return args | {"finding": chosen[0]}


def get_config(arg=None):
    args = arguments(arg)
    config = common.classification(
        "idrid/findings",
        args["finding"],
        FINDINGS,
        model=args["model"],
        guidance=args["guidance"],
        form=args["form"],
    )
    config.data.splits = dict(SPLITS)
    if args["cpu"]:
        return common.small(config, 128, steps=400, learning_rate=1e-2)
    return findings.guided_paper_training(config)


def sweep(arg=None):
    weights = arguments(arg)["guidance"], 0.0
    return product([{"arg": f"guidance={weight:g}"} for weight in weights], seed=[0, 1, 2])
