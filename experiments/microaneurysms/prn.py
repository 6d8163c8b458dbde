"""Judges patches of IDRiD by their middle pixel: the second stage, with triplets or without.

Command:   segjax data prepare idrid/lesions --manual_dir DOWNLOADS/idrid
           segjax train --config experiments/microaneurysms/prn.py:triplet --workdir work/prn
Arguments: triplet|cls         with the loss of triplets, or cross entropy alone (triplet)
           cpu                 a narrow network and few steps, for two CPU cores
           splits=paper|part   as of hgn.py
           data=NAME           another set with the fields of idrid/lesions
Hardware:  one GPU; cpu: two cores, and twice the size of the photographs of memory.
Expected:  cpu, one training: AUC-PR of patches of six validation photographs 0.88 with triplets,
           0.90 without; six minutes. At full size not measured. Alone it is judged on patches, of
           which the paper says nothing.
"""

from experiments.microaneurysms import common
from segjax.config.arguments import parse_arg
from segjax.errors import UserError
from segjax.recipes import microaneurysms

DEFAULTS = {"triplet": False, "cls": False, "cpu": False, "splits": "", "data": common.IDRID}


def get_config(arg=None):
    args = parse_arg(arg, **DEFAULTS)
    if args["triplet"] and args["cls"]:
        raise UserError("config arguments triplet, cls: one of them")
    config = microaneurysms.refinement(args["data"], not args["cls"], healthy="healthy=1")
    common.on_idrid(config, args["splits"] or ("part" if args["cpu"] else "paper"))
    if args["cpu"]:
        microaneurysms.small_refinement(config, patch=129, steps=600, pool=2000)
    return config
