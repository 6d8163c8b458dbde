"""The `segjax` command line: its subcommands, their flags and their help."""

import argparse
import os
from collections.abc import Callable, Mapping, Sequence

import segjax
from segjax.cli import commands
from segjax.cli.annotate import add_annotate
from segjax.cli.data_flags import add_data
from segjax.cli.engines import sweep_engines
from segjax.cli.flags import Parser, a_path, add_watchdog
from segjax.cli.pipeline import add_pipeline, add_truth
from segjax.errors import UserError
from segjax.train import limits

EPILOG = """\
examples:
  segjax config experiments/fovea/idrid.py:cpu
  segjax train --config experiments/fovea/demo.py --workdir work/demo
  segjax train --config experiments/fovea/idrid.py:cpu --workdir work/idrid --config.seed=1
  segjax predict --workdir work/demo --input photographs/ --output predicted/
  segjax data prepare idrid --manual_dir downloads/idrid
  segjax plan acdc
  segjax data prepare folder --images photos --masks drawn --name my_vessels
  segjax new my_vessels.py --data my_vessels
  segjax annotate photos --annotations readings.sqlite
"""


def build_parser(arguments: Sequence[str] = ()) -> Parser:
    """The command with all its subcommands; flags of engines, where `arguments` have `sweep`."""
    parser = Parser(
        prog="segjax",
        description="Segmentation, localisation and classification of biomedical images in JAX.",
        epilog=EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"segjax {segjax.__version__}")
    verbs = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_config_verb(verbs)
    _add_train(verbs)
    _add_evaluate(verbs)
    _add_predict(verbs)
    _add_export(verbs)
    add_data(verbs)
    add_annotate(verbs)
    _add_plan(verbs)
    _add_new(verbs)
    _add_sweep(verbs, arguments)
    add_pipeline(verbs)
    _add_report(verbs)
    _add_bench(verbs)
    _add_landscape(verbs)
    _add_check(verbs)
    return parser


def _command(verbs, name: str, run: Callable, help_text: str, more: str = "") -> Parser:
    parser = verbs.add_parser(name, help=help_text, description=f"{help_text}\n\n{more}".strip())
    parser.set_defaults(run=run, parser=parser)
    return parser


def _add_config(parser: Parser, *, required: bool = True, more: str = "") -> None:
    parser.add_argument(
        "--config",
        required=required,
        metavar="FILE[:ARG]",
        help=f"experiment file; ARG goes to its get_config, as in idrid.py:cpu,loss=sce{more}",
    )
    parser.set_defaults(takes_overrides=True)


def _add_workdir(parser: Parser, what: str) -> None:
    parser.add_argument("--workdir", required=True, type=a_path, metavar="DIR", help=what)


def _add_places(parser: Parser) -> None:
    group = parser.add_argument_group("where the data are now, if not where the run had them")
    group.add_argument(
        "--data_dir", type=os.path.expanduser, metavar="DIR", help="the folder of prepared sets"
    )
    group.add_argument(
        "--cache_dir",
        type=os.path.expanduser,
        metavar="DIR",
        help="the folder of preprocessed volumes and photographs",
    )


def _add_kind(parser: Parser) -> None:
    parser.add_argument(
        "--checkpoint", choices=("best", "latest"), default="best", help="default: best"
    )


def _add_config_verb(verbs) -> None:
    parser = _command(
        verbs,
        "config",
        commands.config,
        "Print the config of an experiment or a work folder, with every default written out.",
        "A line is a field, as in `config.data.image_size = (128, 128)`, and says how to set it,\n"
        "here and for `train`: '--config.data.image_size=(64, 64)', quoted where the shell wants\n"
        "that. What `train` would refuse before it reads data is refused here: unknown fields and\n"
        "names, wrong types and values. Of a duration (steps, epochs, examples, percent) one\n"
        "spelling is set; setting another clears it. The points of a sweep() are counted.",
    )
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE[:ARG]",
        help="experiment file; ARG goes to its get_config, as in idrid.py:cpu,loss=sce",
    )
    parser.add_argument("--config", metavar="FILE[:ARG]", help="the same, as other verbs take it")
    parser.add_argument(
        "--workdir", type=a_path, metavar="DIR", help="or a work folder, whose config it prints"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, as in config.json")
    parser.set_defaults(takes_overrides=True)


def _add_train(verbs) -> None:
    parser = _command(
        verbs,
        "train",
        commands.train,
        "Train an experiment, or go on with one that was interrupted.",
        "Any field of the config can be set: --config.optimizer.learning_rate=0.02\n"
        "The work folder receives config.json, metrics.jsonl, checkpoints, figures and report.md.",
    )
    _add_config(parser)
    _add_workdir(parser, "where results go; the same command on the same folder resumes")
    group = parser.add_argument_group(
        "several processes (Slurm, Open MPI and TPU pods by themselves)"
    )
    group.add_argument("--distributed", action="store_true", help="join the job that JAX detects")
    group.add_argument("--coordinator", metavar="HOST:PORT", help="or name the first process,")
    group.add_argument("--processes", type=int, metavar="N", help="how many there are,")
    group.add_argument("--process", type=int, metavar="I", help="and which one this is")
    group.add_argument(
        "--start_timeout",
        type=int,
        default=limits.START,
        metavar="SECONDS",
        help=f"how long they wait for each other at the start; default: {limits.START}",
    )
    add_watchdog(parser)


def _add_evaluate(verbs) -> None:
    parser = _command(
        verbs,
        "evaluate",
        commands.evaluate,
        "Evaluate a trained work folder on a split of its data.",
        "Writes metrics_SPLIT.json and predictions_SPLIT.csv into the folder.",
    )
    _add_workdir(parser, "a trained folder")
    parser.add_argument("--split", default="validation", help="default: validation")
    _add_kind(parser)
    _add_places(parser)


def _add_predict(verbs) -> None:
    parser = _command(
        verbs,
        "predict",
        commands.predict,
        "Predict on your own images: a table, an overlay of each image, and its label map.",
        "PNG, JPEG, TIFF, GIF and BMP; 8 and 16 bit; grey or colour; label maps lie in labels/,\n"
        "with the class indices as grey values. Runs on volumes take NIfTI (.nii, .nii.gz) and\n"
        "write label maps in the grid of each file, CASE.nii.gz of CASE_0000.nii.gz. Those on\n"
        "findings write activations/, in 16 bits: the activation is value / 65535. Those on small\n"
        "lesions, and folders of pipelines, write probabilities/ so, masks/ and lesions/.\n"
        "A folder stands for its images. Earlier predictions in the output stay, and are named.",
    )
    _add_workdir(parser, "a trained folder")
    parser.add_argument(
        "--input",
        required=True,
        nargs="+",
        type=os.path.expanduser,
        metavar="PATH",
        help="files or folders",
    )
    parser.add_argument(
        "--output", required=True, type=a_path, metavar="DIR", help="outside the inputs"
    )
    add_truth(parser)
    _add_kind(parser)
    _add_places(parser)


def _add_export(verbs) -> None:
    parser = _command(
        verbs,
        "export",
        commands.export,
        "Write a trained model as files that JAX alone can run.",
        "model.stablehlo (image to logits, any batch size, weights inside), weights.safetensors,\n"
        "and model.json, which says what goes in and what comes out. See docs/export.md.",
    )
    _add_workdir(parser, "a trained folder")
    parser.add_argument(
        "--output", required=True, type=a_path, metavar="DIR", help="new, or of this run"
    )
    _add_kind(parser)
    _add_places(parser)


def _add_plan(verbs) -> None:
    parser = _command(
        verbs,
        "plan",
        commands.plan,
        "Measure a set of volumes, and plan a 2-D network for it by the rules of nnU-Net.",
        "Prints the plan in words and writes it as JSON, the fingerprint beside it. Experiment\n"
        "files take it up: --config acdc.py:rrw,plan=data/plans/acdc-v1.json",
    )
    parser.add_argument("name", metavar="NAME", help="a prepared set of volumes, as in acdc")
    parser.add_argument(
        "--version", choices=("v1", "v2"), default="v1", help="of nnU-Net; default: v1"
    )
    parser.add_argument("--split", default="train", help="the training cases; default: train")
    parser.add_argument(
        "--data_dir", type=os.path.expanduser, default="data", metavar="DIR", help="default: data"
    )
    parser.add_argument(
        "--output",
        type=a_path,
        metavar="FILE",
        help="default: DATA_DIR/plans/NAME-VERSION.json",
    )


def _add_new(verbs) -> None:
    parser = _command(
        verbs,
        "new",
        commands.new,
        "Write an experiment file that trains on a prepared set, to read and to change.",
        "Task, classes, sizes and losses come from the set; the file has a sweep of five losses, "
        "or of weights of guidance; for lesion_segmentation it is a pipeline of two stages.",
    )
    parser.add_argument("path", type=a_path, metavar="PATH", help="of the file, as in vessels.py")
    parser.add_argument("--data", required=True, metavar="NAME", help="the prepared set")
    parser.add_argument("--task", metavar="NAME", help="default: the first that fits the set")
    parser.add_argument(
        "--data_dir", type=os.path.expanduser, default="data", metavar="DIR", help="default: data"
    )


def _add_sweep(verbs, arguments: Sequence[str]) -> None:
    # Looked up for this verb alone: loading them would take all others a fifth longer to start
    engines = sweep_engines(arguments) if "sweep" in arguments else {}
    parser = _command(
        verbs,
        "sweep",
        commands.sweep,
        "Run every point of an experiment's sweep(); running it again runs what is missing.",
        "Engines:\n" + "\n".join(f"  {name}: {_summary(one)}" for name, one in engines.items()),
    )
    _add_config(parser, required=False, more="; --status goes without")
    _add_workdir(parser, "the sweep's folder; each point has its own below it")
    parser.add_argument(
        "--engine",
        default="local",
        metavar="NAME",
        help=f"{', '.join(engines)}, or your own as package.module:Class; default: local",
    )
    parser.add_argument("--status", action="store_true", help="only say where each point is")
    _add_engine_flags(parser, engines)


def _add_engine_flags(parser: Parser, engines: Mapping[str, type]) -> None:
    """The flags of engines; of one that several have, the last says how it is read: the user's."""
    flags: dict[str, dict] = {}
    for name, engine in engines.items():
        for flag, about in engine.flags.items():
            flags.setdefault(flag, {})[name] = about
    for flag, owners in flags.items():
        texts: dict[str, list[str]] = {}
        for name, about in owners.items():
            texts.setdefault(about.described, []).append(name)
        described = "; ".join(f"{', '.join(names)}: {text}" for text, names in texts.items())
        # None where it was not given: the engine's own default then, for engines may differ in
        # theirs.
        settings = list(owners.values())[-1].settings | {"default": None, "help": described}
        try:
            parser.add_argument(f"--{flag}", **settings)
        except argparse.ArgumentError as error:
            owner = ", ".join(owners)
            line = f"--engine {owner}: its flag --{flag} is one of `{parser.prog}` already"
            raise UserError(line) from error


def _summary(documented: type) -> str:
    """The first line of a docstring."""
    return (documented.__doc__ or "").strip().split("\n")[0]


def _add_report(verbs) -> None:
    parser = _command(
        verbs,
        "report",
        commands.report,
        "Write report.md and figures for runs and sweeps; of a sweep report.csv and .tex too.",
    )
    parser.add_argument(
        "folders", nargs="+", type=a_path, metavar="DIR", help="work folders, or those of sweeps"
    )
    _add_places(parser)
    group = parser.add_argument_group("sweeps")
    group.add_argument(
        "--against", metavar="LABEL", help="row that the others are tested against; default: first"
    )
    group.add_argument(
        "--failed-below",
        type=float,
        metavar="X",
        help="headline value of the best checkpoint below which a model failed to converge; "
        "default: three quarters of the best row's median",
    )


def _add_bench(verbs) -> None:
    parser = _command(
        verbs,
        "bench",
        commands.bench,
        "Time the step alone, the input alone, and both together.",
    )
    _add_config(parser)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each part; default: 10")


def _add_landscape(verbs) -> None:
    from segjax.launch.landscape_options import EXAMPLES, KINDS

    help_text = "Draw what a loss sees: positions, shapes, softmax vectors, trained parameters."
    parser = verbs.add_parser("landscape", help=help_text, description=help_text, epilog=EXAMPLES)
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    for kind, about in KINDS.items():
        drawn = _command(kinds, kind, commands.landscape, about.summary, about.reading)
        if kind == "parameters":
            _add_workdir(drawn, "a trained folder")
            _add_kind(drawn)
            _add_places(drawn)
        for name, flag in about.flags.items():
            drawn.add_argument(f"--{name}", **flag.settings)
        drawn.add_argument(
            "--output", type=a_path, metavar="FILE", help=f"default: landscape_{kind}.png"
        )


def _add_check(verbs) -> None:
    parser = _command(
        verbs,
        "check",
        commands.check,
        "Check the gradients of losses, all or the named ones; status 1 if one is wrong.",
        "In float64, over ordinary and extreme inputs: jax.grad against the closed form and\n"
        "finite differences, as errors relative to the largest component. At a kink a difference\n"
        "means nothing: such directions are skipped, and counted. Of a loss that casts to float32\n"
        "the differences are taken over wider steps, and with a wider tolerance; directions where\n"
        "rounding hides the slope are skipped then, too.",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="as in dice, or your own: package.module:loss; each with its default options",
    )
    parser.add_argument(
        "--example",
        metavar="MODULE:FUNCTION",
        help="a function of yours without parameters that gives a dict of the loss's arrays by "
        "parameter name, and of options if it likes; in place of the random inputs",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the random inputs; default: 0")
