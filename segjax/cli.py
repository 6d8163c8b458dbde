"""The `segjax` command.

Exit status: 0 done; 2 the input was wrong, and one line says what; 1 anything else.
"""

import argparse
import errno
import os
import pathlib
import sys
from collections.abc import Callable, Sequence

from segjax.config.lookup import nearest
from segjax.errors import Interrupted, UserError

EPILOG = """\
examples:
  segjax train --config experiments/fovea/demo.py --workdir work/demo
  segjax train --config experiments/fovea/idrid.py:cpu --workdir work/idrid --config.seed=1
  segjax predict --workdir work/demo --input photographs/ --output predicted/
  segjax data prepare idrid --manual_dir downloads/idrid
"""


# A path that cannot be what it is used as; whatever else goes wrong with files keeps its traceback.
UNUSABLE = {
    errno.EACCES,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with the nearest flag."""

    def __init__(self, *args, **kwargs):
        super().__init__(
            *args,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **kwargs,
        )

    def error(self, message: str):
        raise UserError(f"{message} (see `{self.prog} --help`)")

    def parse_known_args(self, args=None, namespace=None):
        """Names an unknown flag before argparse complains of what its misspelling left out."""
        if self.get_default("run"):
            for word in args or ():
                flag = word.partition("=")[0]
                if flag.startswith("--") and not flag.startswith("--config."):
                    self.check_flag(flag)
        return super().parse_known_args(args, namespace)

    def check_flag(self, flag: str) -> None:
        """UserError with the nearest flag unless this parser takes `flag`."""
        flags = [option for action in self._actions for option in action.option_strings]
        if flag not in flags:
            raise UserError(f"{flag}: `{self.prog}` has no such flag{nearest(flag, flags)}")

    def _check_value(self, action, value):
        if action.choices is not None and value not in action.choices:
            name = "/".join(action.option_strings) or action.metavar or action.dest
            raise UserError(
                f"{name} {value!r}: `{self.prog}` has no such choice"
                f"{nearest(value, action.choices)} "
                f"It has: {', '.join(map(str, action.choices))}"
            )


def build_parser() -> Parser:
    """The command with all its subcommands."""
    parser = Parser(
        prog="segjax",
        description="Segmentation and localisation of biomedical images in JAX.",
        epilog=EPILOG,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_train(commands)
    _add_evaluate(commands)
    _add_predict(commands)
    _add_data(commands)
    _add_sweep(commands)
    _add_report(commands)
    _add_bench(commands)
    _add_landscape(commands)
    _add_check(commands)
    return parser


def _command(commands, name: str, run: Callable, help_text: str, more: str = "") -> Parser:
    parser = commands.add_parser(name, help=help_text, description=f"{help_text}\n\n{more}".strip())
    parser.set_defaults(run=run, parser=parser)
    return parser


def _add_config(parser: Parser) -> None:
    parser.add_argument(
        "--config",
        required=True,
        metavar="FILE[:ARG]",
        help="experiment file; ARG goes to its get_config, as in idrid.py:cpu,loss=sce",
    )
    parser.set_defaults(takes_overrides=True)


def _add_workdir(parser: Parser, what: str) -> None:
    parser.add_argument("--workdir", required=True, type=pathlib.Path, metavar="DIR", help=what)


def _add_kind(parser: Parser) -> None:
    parser.add_argument(
        "--checkpoint", choices=("best", "latest"), default="best", help="default: best"
    )


def _add_train(commands) -> None:
    parser = _command(
        commands,
        "train",
        _train,
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


def _add_evaluate(commands) -> None:
    parser = _command(
        commands, "evaluate", _evaluate, "Evaluate a trained work folder on a split of its data."
    )
    _add_workdir(parser, "a trained folder")
    parser.add_argument("--split", default="validation", help="default: validation")
    _add_kind(parser)


def _add_predict(commands) -> None:
    parser = _command(
        commands,
        "predict",
        _predict,
        "Predict on your own images: a table, and an overlay for each image.",
        "PNG, JPEG, TIFF and BMP; 8 and 16 bit; grey or colour. A folder stands for its images.",
    )
    _add_workdir(parser, "a trained folder")
    parser.add_argument(
        "--input", required=True, nargs="+", metavar="PATH", help="files or folders"
    )
    parser.add_argument("--output", required=True, type=pathlib.Path, metavar="DIR")
    _add_kind(parser)


def _add_data(commands) -> None:
    parser = commands.add_parser("data", help="Prepare, show and list data sets.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    prepare = _command(
        verbs, "prepare", _data_prepare, "Read an official download, check it, and store it once."
    )
    show = _command(
        verbs, "show", _data_show, "Write a contact sheet of a prepared set, annotations drawn in."
    )
    listing = _command(verbs, "list", _data_list, "List the data sets and which are prepared.")
    for verb in (prepare, show):
        verb.add_argument(
            "name", metavar="NAME", help="data set, or data set/config: idrid/grading"
        )
    prepare.add_argument("--manual_dir", metavar="DIR", help="the folder of the official download")
    for verb in (prepare, show, listing):
        verb.add_argument("--data_dir", default="data", metavar="DIR", help="default: data")
    show.add_argument("--split", default="train", help="default: train")
    show.add_argument("--count", type=int, default=12, help="images on the sheet; default: 12")
    show.add_argument("--output", type=pathlib.Path, metavar="FILE", help="default: NAME.png")


def _add_sweep(commands) -> None:
    parser = _command(
        commands,
        "sweep",
        _sweep,
        "Run every point of an experiment's sweep(); running it again runs what is missing.",
    )
    _add_config(parser)
    _add_workdir(parser, "the sweep's folder; each point has its own below it")
    parser.add_argument("--engine", choices=("local",), default="local", help="default: local")
    parser.add_argument("--status", action="store_true", help="only say what is done")


def _add_report(commands) -> None:
    parser = _command(
        commands, "report", _report, "Write report.md (and report.csv) for runs and sweeps."
    )
    parser.add_argument("folders", nargs="+", type=pathlib.Path, metavar="DIR")


def _add_bench(commands) -> None:
    parser = _command(
        commands, "bench", _bench, "Time the step alone, the input alone, and both together."
    )
    _add_config(parser)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each part; default: 10")


def _add_landscape(commands) -> None:
    from segjax.launch.landscape_options import EXAMPLES, KINDS

    help_text = "Draw what a loss sees: positions, shapes, softmax vectors, trained parameters."
    parser = commands.add_parser(
        "landscape", help=help_text, description=help_text, epilog=EXAMPLES
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    for kind, about in KINDS.items():
        drawn = _command(kinds, kind, _landscape, about.summary, about.reading)
        if kind == "parameters":
            _add_workdir(drawn, "a trained folder")
            _add_kind(drawn)
        for name, flag in about.flags.items():
            drawn.add_argument(f"--{name}", **flag.settings)
        drawn.add_argument(
            "--output", type=pathlib.Path, metavar="FILE", help=f"default: landscape_{kind}.png"
        )


def _add_check(commands) -> None:
    parser = _command(
        commands,
        "check",
        _check,
        "Check the gradients of losses, all or the named ones; status 1 if one is wrong.",
        "In float64, over ordinary and extreme inputs: jax.grad against the closed form and\n"
        "finite differences, as errors relative to the largest component. At a kink a difference\n"
        "means nothing: such directions are skipped, and counted.",
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="as in dice, or your own: package.module:loss"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the random inputs; default: 0")


# --- what each command does; heavy imports wait until they are needed -----------------------------


def _train(args: argparse.Namespace) -> None:
    from segjax.config import files
    from segjax.train import parallel, run

    _check_processes(args)
    config = files.load(args.config, args.overrides)
    if args.distributed or args.coordinator:
        parallel.initialize_processes(args.coordinator, args.processes, args.process)
    means = run.train(config, args.workdir)
    if parallel.is_first():
        print(f"{args.workdir}: validation " + _line(means))


def _check_processes(args: argparse.Namespace) -> None:
    """UserError unless the three flags that name a process come together and make sense."""
    given = {
        "--coordinator": args.coordinator,
        "--processes": args.processes,
        "--process": args.process,
    }
    missing = [flag for flag, value in given.items() if value is None]
    if len(missing) == len(given):
        return
    if missing:
        raise UserError(f"{missing[0]}: missing; {', '.join(given)} are given together")
    host, _, port = args.coordinator.rpartition(":")
    if not host or not port.isdigit():
        raise UserError(f"--coordinator {args.coordinator}: takes HOST:PORT")
    if not 0 <= args.process < args.processes:
        raise UserError(
            f"--process {args.process}: takes 0 to --processes - 1, here {args.processes - 1}"
        )


def _evaluate(args: argparse.Namespace) -> None:
    from segjax.train import run

    means = run.evaluate_folder(args.workdir, args.split, args.checkpoint)
    print(f"{args.workdir}: {args.split} " + _line(means))


def _line(means: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in means.items())


def _predict(args: argparse.Namespace) -> None:
    from segjax.train import predictions

    count = predictions.predict(args.workdir, args.input, args.output, args.checkpoint)
    print(f"{count} images: {args.output / 'predictions.csv'} and {args.output / 'overlays'}")


def _data_prepare(args: argparse.Namespace) -> None:
    from segjax.data import store

    made = store.builder(args.name, args.data_dir, path="data set")
    fresh = store.prepare(made, args.manual_dir)
    counts = ", ".join(f"{name} {split.num_examples}" for name, split in made.info.splits.items())
    print(f"{'prepared' if fresh else 'already prepared'}: {made.data_path} ({counts})")


def _data_show(args: argparse.Namespace) -> None:
    from segjax.data import store
    from segjax.data.contact_sheet import write_contact_sheet
    from segjax.train.workdir import check_writable

    if args.count < 1:
        raise UserError(f"--count {args.count}: takes a whole number of at least 1")
    output = args.output or pathlib.Path(args.name.replace("/", "-") + ".png")
    if output.is_dir():
        raise UserError(f"--output {output}: is a folder, not a file")
    check_writable(output.parent, "--output")
    made = store.ensure_prepared(args.name, args.data_dir)
    examples = store.check_split(made, args.split, path="--split")
    source = store.open_split(made, args.split)
    write_contact_sheet(output, [source[i] for i in range(min(args.count, examples))])
    print(f"wrote {output}")


def _data_list(args: argparse.Namespace) -> None:
    from segjax.data import store

    for name, state in store.listing(args.data_dir):
        print(f"{name:32} {state}")


def _sweep(args: argparse.Namespace) -> None:
    from segjax.launch import local

    local.run_sweep(args.config, args.overrides, args.workdir, only_status=args.status)


def _report(args: argparse.Namespace) -> None:
    from segjax.launch import table
    from segjax.train import report

    for folder in args.folders:
        make = table.write if table.is_sweep(folder) else report.write
        print(f"wrote {make(folder)}")


def _bench(args: argparse.Namespace) -> None:
    from segjax.config import files
    from segjax.train import bench

    if not args.seconds > 0:
        raise UserError(f"--seconds {args.seconds}: takes a number above 0")
    print(bench.measure(files.load(args.config, args.overrides), args.seconds))


def _landscape(args: argparse.Namespace) -> None:
    from segjax.launch import landscape_options
    from segjax.train.workdir import check_writable

    options, output = landscape_options.options(args), landscape_options.output(args)
    check_writable(output.parent, "--output")

    from segjax.launch import landscape
    from segjax.train.report import save_figure

    if args.kind == "parameters":
        options |= {"folder": args.workdir, "kind": args.checkpoint}
    save_figure(landscape.DRAWERS[args.kind](**options), output)
    print(f"wrote {output}")


def _check(args: argparse.Namespace) -> int:
    from segjax.explore import check_table

    if args.seed < 0:
        raise UserError(f"--seed {args.seed}: takes a whole number of at least 0")
    return 1 if check_table.run(args.names, seed=args.seed) else 0


def split_overrides(parser: Parser, unknown: Sequence[str], allowed: bool) -> dict[str, str]:
    """`--config.path=value` words as path -> text; UserError for any other leftover."""
    overrides: dict[str, str] = {}
    for word in unknown:
        path, equals, value = word.partition("=")
        if path.startswith("--config.") and allowed:
            if not equals:
                raise UserError(f"{word}: takes a value, as in {path}=1")
            overrides[path.removeprefix("--config.")] = value
        elif path.startswith("--config.") and not allowed:
            raise UserError(f"{word}: `{parser.prog}` takes the config of the work folder as it is")
        else:
            parser.check_flag(path if path.startswith("-") else word)
    return overrides


def use_compilation_cache() -> None:
    """Keeps compiled programs between runs, unless the user has said where or whether."""
    os.environ.setdefault(
        "JAX_COMPILATION_CACHE_DIR",
        os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "segjax"),
    )
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    use_compilation_cache()
    try:
        args, unknown = build_parser().parse_known_args(arguments)
        allowed = getattr(args, "takes_overrides", False)
        args.overrides = split_overrides(args.parser, unknown, allowed)
        return args.run(args) or 0
    except UserError as error:
        print(f"segjax: {error}".replace("\n", " "), file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in UNUSABLE:
            raise
        print(f"segjax: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except (Interrupted, FloatingPointError) as error:
        print(f"segjax: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "segjax: interrupted; the same command goes on from the last checkpoint",
            file=sys.stderr,
        )
        return 1


if __name__ == "__main__":
    sys.exit(main())
