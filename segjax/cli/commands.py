"""What each subcommand does; heavy imports wait until they are needed."""

import argparse
import os
import sys
from collections.abc import Callable

from segjax import checks
from segjax.cli.flags import check_watchdog
from segjax.config import lookup
from segjax.errors import UserError


def config(args: argparse.Namespace) -> None:
    from segjax.config import files, listing
    from segjax.train import workdir

    given = [source for source in (args.file, args.config, args.workdir) if source is not None]
    if len(given) != 1:
        raise UserError("`segjax config` takes one of FILE[:ARG] and --workdir DIR")
    remark = None
    if args.workdir is None:
        shown = files.load(given[0], args.overrides)
        remark = _check_experiment(given[0], shown)
    elif args.overrides:
        raise UserError(
            f"--config.{next(iter(args.overrides))}: a work folder's config is shown as it is"
        )
    else:
        shown = workdir.open_existing(args.workdir)
        remark = _check_saved(shown)
    text = files.to_json(shown) if args.json else "\n".join(listing.lines(shown)) + "\n"
    try:
        print(text, end="", flush=True)
    except BrokenPipeError:  # `| head` has read enough; Python would flush once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    # On stderr: the config alone goes to stdout, from where it may be piped into a file
    if remark:
        print(f"segjax: {remark}", file=sys.stderr)


def _check_saved(config: object) -> str | None:
    """What keeps a saved config, which is shown all the same, from being opened."""
    from segjax.train import experiment

    try:
        experiment.name_parts(config)
    except UserError as error:
        return str(error)
    return None


def _check_experiment(text: str, config: object) -> str | None:
    """UserError for what `train` refuses before it reads data; what to say of its sweep."""
    from segjax.config import files, modules
    from segjax.launch import sweep
    from segjax.train import experiment, model_init

    made = experiment.check(config)
    model_init.check(made.config.model_init, made.shapes())
    module = modules.load(files.split_name(text)[0])
    if not hasattr(module, "sweep"):
        return None
    return f"its sweep() has {len(sweep.load_points(text))} points"


def train(args: argparse.Namespace) -> int | None:
    from segjax.cli import guard
    from segjax.launch import parent

    # First, for the imports below take seconds, in which the parent may be killed
    parent.watch()

    _check_processes(args)
    if args.distributed or args.coordinator:
        # It forks, which JAX with its threads does not survive: nothing before it imports JAX
        joining = (
            f"not every process of the job has joined within {args.start_timeout} s, or process 0 "
            "could not be reached; see what the others say, or give more by --start_timeout"
        )
        return guard.run(lambda tell: _train_in_job(args, tell), args.watchdog, joining)
    return _train(args)


def _train_in_job(args: argparse.Namespace, tell: Callable[[str | None], None]) -> None:
    from segjax.train import processes

    processes.join(args.coordinator, args.processes, args.process, args.start_timeout)
    tell(None)
    _train(args, tell)


def _train(args: argparse.Namespace, *tell: Callable[[str | None], None]) -> None:
    from segjax.config import files
    from segjax.launch import job
    from segjax.train import processes
    from segjax.train.watchdog import Watchdog

    watchdog = Watchdog(args.watchdog, *tell)
    values = job.train(files.load(args.config, args.overrides), args.workdir, watchdog)
    if processes.is_first():
        print(f"{args.workdir}: validation of the chosen checkpoint: " + _line(values))
        names = "report.md, figures/, predictions_validation.csv, metrics_validation.json"
        print(f"{args.workdir} has {names}, metrics.jsonl, checkpoints/ and config.json")


def _check_processes(args: argparse.Namespace) -> None:
    """UserError unless the three flags that name a process come together and make sense."""
    given = {
        "--coordinator": args.coordinator,
        "--processes": args.processes,
        "--process": args.process,
    }
    check_watchdog(args)
    checks.require_flag("--start_timeout", args.start_timeout, checks.whole(least=1))
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


def evaluate(args: argparse.Namespace) -> None:
    from segjax.inference.evaluate import evaluate_folder

    values = evaluate_folder(args.workdir, args.split, args.checkpoint, _places(args))
    print(f"{args.workdir}: {args.split} " + _line(values))
    print(
        f"wrote metrics_{args.split}.json and predictions_{args.split}.csv there; "
        f"`segjax report {args.workdir}` shows them"
    )


def _places(args: argparse.Namespace) -> dict[str, str]:
    """Where the data of a run are now, as far as the flags say so."""
    given = {"data_dir": args.data_dir, "cache_dir": args.cache_dir}
    return {name: place for name, place in given.items() if place is not None}


def _line(values: dict[str, float]) -> str:
    def shown(value: float) -> str:
        # Four decimals would leave nothing of a small loss
        return f"{value:.3g}" if 0 < abs(value) < 1e-3 else f"{value:.4f}"

    return ", ".join(f"{name} {shown(value)}" for name, value in values.items())


def predict(args: argparse.Namespace) -> None:
    from segjax.cli import pipeline

    if (composed := pipeline.read(args.workdir, args)) is not None:
        pipeline.predict(args, composed)
        return

    from segjax.inference import predict

    given = args.workdir, args.input, args.output, args.checkpoint
    done = predict.predict(*given, _places(args), args.truth)
    names = done.written
    made = [f"{name}/" for name in names if (args.output / name).is_dir()]
    made += ["a label map NAME.nii.gz of each"] if any(n.endswith(".nii.gz") for n in names) else []
    if "labels/" in made:
        made[made.index("labels/")] += " (class numbers 0, 1, …, which look black)"
    there = ", ".join([predict.TABLE, *made])
    by = f"{done.count} predicted by the checkpoint of step {done.step}"
    print(f"{by}; wrote {there} into {args.output}")
    if done.columns:
        told = "; ".join(f"{name}, {what}" for name, what in done.columns.items())
        print(f"columns of {predict.TABLE}: {told}")
    if done.remark:
        print(f"segjax: {done.remark}", file=sys.stderr)


def export(args: argparse.Namespace) -> None:
    from segjax.inference import export

    for path in export.export(args.workdir, args.output, args.checkpoint, _places(args)):
        print(f"wrote {path}")


def new(args: argparse.Namespace) -> None:
    from segjax.launch import new

    task, beside = new.write(args.path, args.data, args.data_dir, args.task)
    if remark := new.shrunk(args.data, args.data_dir, task):
        print(remark)
    made = ", ".join([f"{args.path} (task {task})", *map(str, beside)])
    print(f"wrote {made}; `{new.command(args.path, task)}`")


def plan(args: argparse.Namespace) -> None:
    from segjax.data import outputs
    from segjax.data.volumes import planning
    from segjax.data.volumes.plan import read_plan
    from segjax.train.workdir import check_writable

    if args.output is not None:
        check_writable(args.output.parent, "--output")
        outputs.check_file(args.output)
        outputs.check_file(planning.fingerprint_path(args.output))
    made = (args.name, args.data_dir, args.output, args.version, args.split)
    path = planning.write_plan(*made)
    fingerprint = planning.read_fingerprint(planning.fingerprint_path(path))
    print(f"{planning.describe(read_plan(path), fingerprint)}\nwrote {path}")


def sweep(args: argparse.Namespace) -> None:
    from segjax.cli.engines import sweep_engines
    from segjax.launch import status, sweep
    from segjax.launch.flags import values_of

    engines = sweep_engines([f"--engine={args.engine}"])
    if args.engine not in engines:
        lookup.find("engines", args.engine, "--engine")
    for flag in {flag: None for engine in engines.values() for flag in engine.flags}:
        owners = [name for name, engine in engines.items() if flag in engine.flags]
        if getattr(args, flag) is not None and args.engine not in owners:
            raise UserError(
                f"--{flag} {getattr(args, flag)}: goes with --engine {' or '.join(owners)}"
            )
    if args.status:
        print(status.told(args.workdir, args.config, args.overrides))
        return
    if args.config is None:
        args.parser.error("the following arguments are required: --config")
    chosen = engines[args.engine]
    engine = chosen(**values_of(chosen.flags, args))
    sweep.run(args.config, args.overrides, args.workdir, engine)


def report(args: argparse.Namespace) -> None:
    from segjax.report import run, sweep
    from segjax.train.sweepdir import is_sweep

    options = {"against": args.against, "failed_below": args.failed_below}
    for folder in args.folders:
        if not is_sweep(folder) and any(value is not None for value in options.values()):
            raise UserError(f"{folder}: --against and --failed-below are for sweeps")
    for folder in args.folders:
        if is_sweep(folder):
            made = sweep.write(folder, **options)
        else:
            made = run.write(folder, places=_places(args))
        print(f"wrote {made}")


def bench(args: argparse.Namespace) -> None:
    from segjax.config import files
    from segjax.train import bench

    checks.require_flag("--seconds", args.seconds, checks.number(above=0))
    print(bench.measure(files.load(args.config, args.overrides), args.seconds))


def landscape(args: argparse.Namespace) -> None:
    from segjax.data import outputs
    from segjax.launch import landscape_options
    from segjax.train.workdir import check_writable

    # All that can be refused, before the imports that take seconds
    options, output = landscape_options.options(args), landscape_options.output(args)
    check_writable(output.parent, "--output")
    outputs.check_file(output)

    from segjax import files
    from segjax.launch import landscape

    if args.kind == "parameters":
        options |= {"folder": args.workdir, "kind": args.checkpoint, "places": _places(args)}
    files.write_figure(output, landscape.DRAWERS[args.kind](**options))
    print(f"wrote {output}")


def check(args: argparse.Namespace) -> int:
    from segjax.explore import check_table

    checks.require_flag("--seed", args.seed, checks.whole(least=0))
    return 1 if check_table.run(args.names, seed=args.seed, example=args.example) else 0
