"""`segjax annotate`: its flags, and which of its pieces they call."""

import argparse
import contextlib
import importlib.util
import pathlib

from segjax.cli.flags import Parser, a_path
from segjax.errors import UserError

PORT = 8765
MORE = """\
A page on this machine, for several annotators at once: place the optic disc and the fovea, pick a
finding, click the regions that hold it, or mark the eye as normal. A click that the page shows as
saved is on the disk. Nothing is written into FOLDER.

  segjax annotate photos --annotations readings.sqlite
  segjax annotate photos --annotations readings.sqlite --findings list.txt --fovea work/fovea
  segjax annotate photos --annotations readings.sqlite --table findings.csv
  segjax data prepare folder --images photos --findings findings.csv --partial --name mine

See docs/annotate.md."""


def add_annotate(verbs) -> None:
    """Adds the verb."""
    summary = "Annotate findings by regions in a browser; export, import and back up annotations."
    parser = verbs.add_parser("annotate", help=summary, description=f"{summary}\n\n{MORE}")
    parser.set_defaults(run=annotate, parser=parser)
    parser.add_argument("folder", type=a_path, metavar="FOLDER", help="of photographs; only read")
    parser.add_argument(
        "--annotations",
        required=True,
        type=a_path,
        metavar="FILE.sqlite",
        help="where annotations go, outside of FOLDER; made where there is none",
    )
    parser.add_argument(
        "--findings",
        type=a_path,
        metavar="FILE.txt",
        help="findings to choose from, one a line; default: those of the file, else of segjax",
    )
    _add_serving(parser)
    _add_transfer(parser)


def _add_serving(parser: Parser) -> None:
    group = parser.add_argument_group("the page")
    group.add_argument(
        "--port", type=int, metavar="N", help=f"on 127.0.0.1; 0 for any; default: {PORT}"
    )
    group.add_argument(
        "--fovea", type=a_path, metavar="RUN", help="a trained folder that predicts the fovea"
    )
    group.add_argument(
        "--disc", type=a_path, metavar="RUN", help="a trained folder that predicts the optic disc"
    )
    group.add_argument(
        "--run",
        type=a_path,
        nargs="+",
        default=[],
        dest="runs",
        metavar="RUN",
        help="trained folders of guided_classification, whose maps and regions are shown",
    )


def _add_transfer(parser: Parser) -> None:
    group = parser.add_argument_group("in place of the page, one of")
    group = group.add_mutually_exclusive_group()
    group.add_argument(
        "--export", type=a_path, metavar="FILE", help="write all: .csv, or .json for COCO"
    )
    group.add_argument(
        "--table",
        type=a_path,
        metavar="FILE.csv",
        help="write finished readings for `segjax data prepare folder --findings`",
    )
    group.add_argument(
        "--import",
        type=a_path,
        dest="import_",
        metavar="FILE",
        help="add what --export or --table wrote, all of it or nothing",
    )
    group.add_argument(
        "--backup", type=a_path, metavar="FILE.sqlite", help="copy, also while the page is in use"
    )


def annotate(args: argparse.Namespace) -> None:
    """Serves the page, or writes or reads what one of the flags says."""
    from segjax.annotate import transfer
    from segjax.annotate.photographs import Folder
    from segjax.annotate.store import made

    if not args.folder.is_dir():
        raise UserError(f"FOLDER {args.folder}: no such folder")
    transfer.check_apart(args.folder, args.annotations, "--annotations")
    outputs = {"--export": args.export, "--table": args.table, "--backup": args.backup}
    if not any((*outputs.values(), args.import_)):
        _serve(args)
        return
    _check_alone(args)
    for flag, path in outputs.items():
        if path is not None:
            transfer.check_apart(args.folder, path, flag)
            transfer.check_new(path, flag, args.annotations)
            for line in _written(args, flag, path):
                print(line)
    if args.import_ is not None:
        folder = Folder(args.folder)
        with made(args.annotations) as file:
            for line in transfer.import_(file, folder, args.import_, args.findings):
                print(line)


def _written(args: argparse.Namespace, flag: str, path: pathlib.Path) -> list[str]:
    from segjax.annotate import transfer
    from segjax.annotate.photographs import Folder
    from segjax.annotate.store import AnnotationFile

    with contextlib.closing(AnnotationFile(args.annotations, writable=False)) as file:
        if flag == "--export":
            return [transfer.export(file, path)]
        if flag == "--table":
            return transfer.export_table(file, Folder(args.folder), path)
        file.backup(path)
        return [f"{path}: a copy of {args.annotations}"]


def _check_alone(args: argparse.Namespace) -> None:
    """UserError for flags of the page beside those that take its place."""
    serving = {
        "--port": args.port,
        "--fovea": args.fovea,
        "--disc": args.disc,
        "--run": args.runs or None,
        "--findings": None if args.import_ else args.findings,
    }
    for flag, value in serving.items():
        if value is not None:
            raise UserError(f"{flag}: is for the page, which is not opened here; leave it out")


def _serve(args: argparse.Namespace) -> None:
    for name in ("starlette", "uvicorn"):
        if importlib.util.find_spec(name) is None:
            raise UserError(
                f"`segjax annotate` serves its page by {name}, which is not installed: "
                "pip install 'segjax[annotate]'"
            )
    from segjax.annotate.serve import serve

    points = {"disc": args.disc, "fovea": args.fovea}
    serve(
        args.folder,
        args.annotations,
        port=PORT if args.port is None else args.port,
        listed=args.findings,
        points={name: path for name, path in points.items() if path is not None},
        runs=args.runs,
    )
