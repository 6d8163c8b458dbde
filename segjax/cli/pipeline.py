"""`segjax pipeline`: its flags, and what each of its verbs does."""

import argparse
import os
import pathlib
import sys

from segjax.cli.flags import Parser, a_path, add_watchdog, check_watchdog
from segjax.errors import UserError

FIGURES = ("auc_pr_challenge33", "auc_pr_exact", "f1_at_best", "froc")


def add_pipeline(verbs) -> None:
    """Adds the command with its verbs."""
    parser = verbs.add_parser(
        "pipeline",
        help="Train, evaluate and apply several networks composed.",
        description="Train, evaluate and apply several networks composed.\n\n"
        "FILE has a get_pipeline(), whose stages are ordinary configs. Each is trained into a\n"
        "work folder of its own, DIR/stages/NAME. Running an action again does what is missing.\n"
        "See docs/pipelines.md.",
    )
    parser.set_defaults(parser=parser)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    train = _verb(
        actions,
        "train",
        _train,
        "Train the stages that are missing, one after the other.",
        "A stage that was interrupted goes on exactly. One whose config has changed since is\n"
        "refused by its name, before any trains.",
    )
    train.add_argument("--status", action="store_true", help="only say where each stage is")
    add_watchdog(train)
    evaluate = _verb(
        actions,
        "evaluate",
        _evaluate,
        "Evaluate every row on a split; the validation split chooses thresholds.",
        "Writes report_SPLIT.md, metrics_SPLIT.json, rows_SPLIT.csv and figures/ into DIR.\n"
        "Photographs that were evaluated by the same networks are not predicted again.\n"
        "`segjax predict --workdir DIR` takes the pipeline as it was evaluated last.",
    )
    evaluate.add_argument(
        "--split", default="test", help="a name of config.data.splits; default: test"
    )
    predict = _verb(
        actions,
        "predict",
        _predict,
        "Find lesions on photographs, by the row that the pipeline names.",
        "Writes probabilities/ (16 bits: the probability is value / 65535), masks/, overlays/,\n"
        "lesions/ (a table of each photograph: centre and area in pixels, probability) and\n"
        "predictions.csv. A prediction that was interrupted goes on with the next photograph.\n"
        "`segjax predict --workdir DIR` does the same without FILE.",
    )
    predict.add_argument(
        "--input",
        required=True,
        nargs="+",
        type=os.path.expanduser,
        metavar="PATH",
        help="files or folders",
    )
    predict.add_argument(
        "--output", required=True, type=a_path, metavar="DIR", help="outside the inputs"
    )
    add_truth(predict)


def add_truth(parser: Parser) -> None:
    """The flag of masks that predictions are compared with."""
    parser.add_argument(
        "--truth",
        type=a_path,
        metavar="DIR",
        help="masks of lesions, NAME.* or NAME_*.*: overlays show what is right (green), false "
        "(red) and missed (cyan)",
    )


def _verb(actions, name: str, run, help_text: str, more: str) -> Parser:
    more += "\n--config.stages.NAME.PATH=VALUE and --config.refine.PATH=VALUE set fields of FILE."
    parser = actions.add_parser(name, help=help_text, description=f"{help_text}\n\n{more}")
    parser.set_defaults(run=run, parser=parser, takes_overrides=True)
    parser.add_argument("file", metavar="FILE[:ARG]", help="ARG goes to its get_pipeline")
    parser.add_argument(
        "--workdir", required=True, type=a_path, metavar="DIR", help="its work folder"
    )
    group = parser.add_argument_group("where the data are, for all stages")
    for flag, what in (
        ("--data_dir", "prepared sets"),
        ("--cache_dir", "preprocessed photographs"),
    ):
        group.add_argument(
            flag, type=os.path.expanduser, metavar="DIR", help=f"the folder of {what}"
        )
    return parser


def _places(args: argparse.Namespace) -> dict[str, str]:
    given = {"data_dir": args.data_dir, "cache_dir": args.cache_dir}
    return {name: place for name, place in given.items() if place is not None}


def _definition(args: argparse.Namespace):
    from segjax.pipelines import definition

    return definition.load(args.file, args.overrides, _places(args))


def _say(line: str) -> None:
    print(line, flush=True)


def _train(args: argparse.Namespace) -> None:
    check_watchdog(args)
    made = _definition(args)
    from segjax.pipelines import stages

    if args.status:
        print(stages.told(made, args.workdir))
        return
    stages.train(made, args.workdir, _say, args.watchdog)
    print(f"{args.workdir}: all stages are trained; `segjax pipeline evaluate` makes the table")


def _evaluate(args: argparse.Namespace) -> None:
    made = _definition(args)
    from segjax.pipelines import run

    rows = run.evaluate(made, args.workdir, args.split, _say, _places(args))
    for line in run.shown(rows, FIGURES):
        print(line)
    made = f"report_{args.split}.md, metrics_{args.split}.json, rows_{args.split}.csv, figures/"
    print(f"wrote {made} into {args.workdir}")


def _predict(args: argparse.Namespace) -> None:
    predict(args, _definition(args))


def predict(args: argparse.Namespace, definition) -> None:
    """Predicts with the folder of a pipeline."""
    from segjax.inference.predict import TABLE
    from segjax.pipelines import run

    place = args.workdir, args.input, args.output
    done = run.predict(definition, *place, _say, _places(args), args.truth)
    there = ", ".join(f"{n}/" if (args.output / n).is_dir() else n for n in done.written)
    for line in done.said:
        print(line)
    print(f"{done.count} predicted by {definition.predicted}; wrote {there} into {args.output}")
    if done.columns:
        told = "; ".join(f"{name}, {what}" for name, what in done.columns.items())
        print(f"columns of {TABLE}: {told}")
    if done.remark:
        print(f"segjax: {done.remark}", file=sys.stderr)


def read(folder: pathlib.Path, args: argparse.Namespace):
    """The pipeline of a folder, for `segjax predict`; None where it is none."""
    from segjax.train import workdir

    if not (folder / workdir.PIPELINE).exists():
        return None  # before the imports that take seconds
    from segjax.pipelines import definition

    if args.checkpoint != "best":
        raise UserError("--checkpoint: the stages of a pipeline are their best ones")
    return definition.read(folder, _places(args))
