"""What `segjax data` does; heavy imports wait until they are needed."""

import argparse
import os
import pathlib

from segjax import checks
from segjax.errors import UserError

# Flags that a folder takes, by the field of a `Request` that they set.
SHARED = ("group", "split", "validation", "test", "seed")
FOLDER = ("images", "masks", "mask_pattern", "classes", "colours", "points", "units", "labels")
FOLDER += ("findings", "needed", "partial")
TAKES = {"folder": FOLDER + SHARED, "nnunet": ("manual_dir", *SHARED)}
# Without these there is nothing to read.
NEEDS = {"folder": "images", "nnunet": "manual_dir"}
WITH_FOVEA = "goes with `segjax data prepare idrid/findings`"


def prepare(args: argparse.Namespace) -> None:
    """An official download, or a folder of the user's."""
    if args.fovea is not None and args.name in TAKES:
        raise UserError(f"--fovea: {WITH_FOVEA}")
    takes = TAKES.get(args.name, ("manual_dir",))
    every = [*FOLDER, *SHARED, "manual_dir"]
    given = [flag for flag in every if getattr(args, flag) is not None]
    if args.name not in TAKES:
        given += ["name"] if args.set_name is not None else []
        given += ["dry_run"] if args.dry_run else []
    if wrong := [flag for flag in given if flag not in takes]:
        words = [
            word for word, flags in TAKES.items() if wrong[0] in flags or wrong[0] not in every
        ]
        raise UserError(f"--{wrong[0]}: goes with `segjax data prepare {words[0]}`")
    return _prepare_own(args) if args.name in TAKES else _prepare_download(args)


def _prepare_download(args: argparse.Namespace) -> None:
    from segjax.data import digest, downloads, fields, store

    made = store.builder(args.name, args.data_dir, path="data set")
    if args.fovea is not None:
        _give_fovea(made, args)
    if store.needs_download(made):
        fresh, remark = downloads.prepare(made, args.manual_dir, overwrite=args.overwrite)
    else:
        _check_no_overwrite(args)
        fresh, remark = store.prepare(made), ""
        digest.check(made)
    _say_prepared(args.name, made, fresh, args.data_dir)
    for finding, (present, absent) in fields.labelled(made).items():
        print(f"finding {finding}: present in {present}, absent in {absent}")
    if remark:
        print(remark)


def _give_fovea(made, args: argparse.Namespace) -> None:
    """Gives a builder the points that a trained run predicts of its photographs."""
    from segjax.data import store

    if not hasattr(made, "to_predict") or args.name.partition("/")[2] != "findings":
        raise UserError(f"--fovea: {WITH_FOVEA}")
    store.check_manual(made, args.manual_dir)
    from segjax.inference.points import predicted_points

    photographs = made.to_predict(pathlib.Path(args.manual_dir))
    made.given = predicted_points(pathlib.Path(args.fovea), photographs, "fovea")


def _check_no_overwrite(args: argparse.Namespace) -> None:
    """UserError where `--overwrite` is given for a set that has no source on the command line."""
    from segjax.data import own

    if not args.overwrite:
        return
    if own.folder_of(args.name, args.data_dir) is None:
        why = "is generated, and always the same; `segjax data remove` removes it"
    else:
        kinds = " or ".join(f"`segjax data prepare {word} … --name {args.name}`" for word in TAKES)
        why = f"is a set of your own: {kinds} prepares it again"
    raise UserError(f"--overwrite: {args.name} {why}")


def _prepare_own(args: argparse.Namespace) -> None:
    from segjax.data import folders

    needs = NEEDS[args.name]
    for flag, value in ((needs, getattr(args, needs)), ("name", args.set_name)):
        if value is None:
            raise UserError(f"--{flag}: missing; see `segjax data prepare --help`")
    share = checks.number(least=0, below=1)
    for flag in ("validation", "test"):
        if getattr(args, flag) is not None:
            checks.require_flag(f"--{flag}", getattr(args, flag), share)
    if (args.validation or 0) + (args.test or 0) >= 1:
        raise UserError("--validation and --test: leave nothing to train on")
    for flag, least in (("seed", 0), ("needed", 1)):
        if getattr(args, flag) is not None:
            checks.require_flag(f"--{flag}", getattr(args, flag), checks.whole(least=least))
    takes = TAKES[args.name]
    said = {name: getattr(args, name) for name in takes if getattr(args, name) is not None}
    if "classes" in said:
        said["classes"] = tuple(word.strip() for word in said["classes"].split(",") if word.strip())
    if "manual_dir" in said:
        said["manual_dir"] = pathlib.Path(said["manual_dir"])
    given = args.name, args.set_name, said, args.data_dir
    made, fresh = folders.prepare(*given, overwrite=args.overwrite, dry_run=args.dry_run)
    if made is not None:
        _say_prepared(args.set_name, made, fresh, args.data_dir)


def _say_prepared(name: str, made, fresh: bool, data_dir: str) -> None:
    from segjax.data import digest, shards, tidy
    from segjax.data.volumes import planning

    said = "prepared" if fresh else "already prepared"
    print(f"{said}: {made.data_path} ({shards.in_words(made)})")
    for path, plan in planning.plans_of(name, (), data_dir).items() if fresh else ():
        if plan.data != digest.of(made):
            print(f"{path}: is a plan of other data; `segjax plan {name}` makes it anew")
    if removed := tidy.tidy(data_dir):
        print(removed)


def show(args: argparse.Namespace) -> None:
    """A contact sheet."""
    from segjax.data import outputs, store
    from segjax.data.contact_sheet import write_contact_sheet
    from segjax.train.workdir import check_writable

    checks.require_flag("--count", args.count, checks.whole(least=1))
    output = args.output or pathlib.Path(args.name.replace("/", "-") + ".png")
    check_writable(output.parent, "--output")
    outputs.check_file(output)
    store.builder(args.name, args.data_dir, path="NAME")
    made = store.ensure_prepared(args.name, args.data_dir)
    examples = store.check_split(made, args.split, path="--split")
    source = store.open_split(made, args.split)
    shown = [source[i] for i in range(min(args.count, examples))]
    write_contact_sheet(output, shown, classes=getattr(made, "CLASSES", ()))
    print(f"wrote {output}")


def listing(args: argparse.Namespace) -> None:
    """Every set, whether it is prepared, where and how large."""
    from segjax.data import inventory

    if not os.path.isdir(args.data_dir):
        print(f"--data_dir {args.data_dir}: no such folder, so nothing is prepared there")
    found = inventory.rows(args.data_dir, args.cache_dir)
    for line in inventory.table(found, args.data_dir, args.cache_dir):
        print(line)


def remove(args: argparse.Namespace) -> None:
    """A prepared set with its caches, or these alone."""
    from segjax.data import removing

    given = args.name, args.data_dir, args.cache_dir
    for line in removing.in_words(removing.remove(*given, caches_only=args.caches)):
        print(line)
