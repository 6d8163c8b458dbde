"""A pipeline as a file names it: its stages, how they are composed, what is made of them."""

import json
import pathlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ml_collections import ConfigDict

from segjax import checks
from segjax.checks import nearest
from segjax.config import files, lookup, modules, values
from segjax.config.defaults import completed
from segjax.errors import UserError
from segjax.metrics.froc import RULES as HITS
from segjax.pipelines.fusion import RULES
from segjax.pipelines.refinement import falls
from segjax.tasks.lesions.task import takes_part
from segjax.train.workdir import PIPELINE as NAME

KIND = "two_stages"
AT = "@"  # REFINEMENT@PROPOSAL
KINDS = ("proposals", "refinements")
PAPER = ("auc_pr", "f1", "precision", "recall")  # what a paper's figures may be of


@dataclass(frozen=True)
class Row:
    """One result: maps by name, and the rule by which they become one."""

    name: str
    maps: tuple[str, ...]
    fusion: str


@dataclass(frozen=True)
class Definition:
    """A pipeline of two stages, checked.

    Attributes:
        stages: the config of each training, locked, in the order of training.
        proposals, refinements: names of stages.
        rows: the results.
        compared: pairs of rows.
        predicted: the row that predictions take.
        threshold, strides, above, most_patches: of the refinement (`refinement.refined`).
        hit: when a lesion counts as found.
        paper: figures of a paper by row and metric.
        content: all of it as it was read, for JSON.
    """

    stages: Mapping[str, ConfigDict]
    proposals: tuple[str, ...]
    refinements: tuple[str, ...]
    rows: tuple[Row, ...]
    compared: tuple[tuple[str, str], ...]
    predicted: str
    threshold: float
    strides: tuple[int, ...]
    above: float
    most_patches: int
    hit: str
    paper: Mapping[str, Mapping[str, float]]
    content: Mapping

    def row(self, name: str) -> Row:
        """A row by its name."""
        return next(row for row in self.rows if row.name == name)

    def masks_of(self, refinement: str) -> tuple[str, ...]:
        """The proposals under whose masks rows take the map of a refinement."""
        used = {name for row in self.rows for name in row.maps}
        return tuple(p for p in self.proposals if f"{refinement}{AT}{p}" in used)

    def needed(self, rows: Iterable[Row]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The proposals and the refinements that some rows are made of.

        A refinement judges the candidates of all its masks at once, whatever the row that is
        wanted: with strides, or a bound on patches, its map depends on which they are.
        """
        used = {name for row in rows for name in row.maps}
        refinements = tuple(
            name for name in self.refinements if any(m.startswith(f"{name}{AT}") for m in used)
        )
        used |= {p for name in refinements for p in self.masks_of(name)}
        return tuple(p for p in self.proposals if p in used), refinements


def load(
    text: str,
    overrides: Mapping[str, str] | None = None,
    places: Mapping[str, str] | None = None,
) -> Definition:
    """The pipeline of `file.py[:arg]`, with overrides, and the places of its data.

    Args:
        text: the file, which has a `get_pipeline(arg)`.
        overrides: path -> text, as `refine.most_patches` or `stages.prn.train.steps`.
        places: a `data_dir` or `cache_dir` for all stages.

    Raises: UserError for what is wrong in it.
    """
    path, arg = files.split_name(text)
    module = modules.load(path)
    if not hasattr(module, "get_pipeline"):
        raise UserError(
            f"{path}: the file has no get_pipeline(arg); one with get_config() is trained by "
            "`segjax train`"
        )
    config = modules.call(text, path, files.with_words, module.get_pipeline, arg)
    if not isinstance(config, ConfigDict):
        raise UserError(f"{text}: get_pipeline returns a ConfigDict, got {type(config).__name__}")
    if arg and not files.takes_words(module.get_pipeline):
        raise UserError(f"{text}: get_pipeline() takes no argument after the colon")
    content = modules.call(text, path, values.plain, config, "pipeline")
    config = ConfigDict(content, type_safe=False)
    for key in sorted(overrides or {}, key=lambda k: (not k.endswith(".name"), k.count("."))):
        _override(config, key, overrides[key])
    return checked(config.to_dict(), text, places)


def _override(config: ConfigDict, path: str, value: str) -> None:
    """Sets one field, of the pipeline or of a stage, where a name brings its options along."""
    first, _, rest = path.partition(".")
    name, _, field = rest.partition(".")
    if first != "stages" or name not in config.stages or not field:
        files.override(config, path, value)
        return
    try:
        files.override(config.stages[name], field, value)
    except UserError as error:
        raise UserError(f"stage {name}: {error}") from error


def read(folder: pathlib.Path, places: Mapping[str, str] | None = None) -> Definition:
    """The pipeline that a folder was made from; UserError where there is none."""
    path = folder / NAME
    try:
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict) or not isinstance(content.get("stages"), dict):
            raise ValueError("not a pipeline")
    except FileNotFoundError:
        raise UserError(f"{folder}: not the folder of a pipeline (no {NAME})") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: damaged: {error}") from error
    return checked(files.tuples(content), str(path), places)


def checked(content: Mapping, where: str, places: Mapping[str, str] | None = None) -> Definition:
    """A pipeline from its content; UserError, beginning with `where`, for what is wrong."""
    try:
        if content["pipeline"] != KIND:
            raise UserError(f"{where}: pipeline={content['pipeline']!r}: takes {KIND!r}")
        refine = content["refine"]
        # In the order in which they are composed: a config sorts its keys
        named = dict.fromkeys((*content["proposals"], *content["refinements"], *content["stages"]))
        stages = {
            name: _stage(content["stages"][name], places)
            for name in named
            if name in content["stages"]
        }
        made = Definition(
            stages=stages,
            proposals=tuple(content["proposals"]),
            refinements=tuple(content["refinements"]),
            rows=tuple(Row(name, tuple(maps), fusion) for name, maps, fusion in content["rows"]),
            compared=tuple(tuple(pair) for pair in content["compared"]),
            predicted=content["predicted"],
            threshold=refine["threshold"],
            strides=tuple(refine["strides"]),
            above=refine["above"],
            most_patches=refine["most_patches"],
            hit=content["hit"],
            paper={name: dict(figures) for name, figures in content["paper"]},
            content={**content, "stages": {n: c.to_dict() for n, c in stages.items()}},
        )
    except LookupError as error:
        raise UserError(f"{where}: no pipeline of two stages: lacks {error}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{where}: not as recipes.microaneurysms.two_stages gives it: {error}"
        ) from error
    _check_options(made, where)
    _check_stages(made, where)
    _check_rows(made, where)
    _check_data(made, where)
    return made


def _stage(content: Mapping, places: Mapping[str, str] | None) -> ConfigDict:
    config = ConfigDict(completed(content), type_safe=False)
    config.data.update(places or {})
    return config.lock()


def _check_options(made: Definition, where: str) -> None:
    share = checks.number(least=0, most=1)
    if not falls(made.strides):
        raise UserError(
            f"{where}: refine.strides={made.strides}: takes falling whole numbers of at least 1"
        )
    checks.require(f"{where}: refine.threshold", made.threshold, share)
    checks.require(f"{where}: refine.above", made.above, share)
    checks.require(f"{where}: refine.most_patches", made.most_patches, checks.whole(least=0))
    checks.require(f"{where}: hit", made.hit, checks.choice(HITS))

    for name, figures in made.paper.items():
        for metric, value in figures.items():
            checks.require(f"{where}: paper: {name}", metric, checks.choice(PAPER))
            checks.require(f"{where}: paper: {name}: {metric}", value, share)


def _check_stages(made: Definition, where: str) -> None:
    """UserError for a stage that there is not, is named twice, or does not do what is asked."""
    for kind in KINDS:
        names = getattr(made, kind)
        if not names and kind == "proposals":
            raise UserError(f"{where}: {kind}: there is none")
        if twice := _twice(names):
            raise UserError(f"{where}: {kind}: {twice!r} is named twice")
        for name in names:
            if name not in made.stages:
                raise UserError(f"{where}: {kind}: {_unknown(name, made.stages, 'stage')}")
            if not re.fullmatch(r"[\w-]+", name):  # of a folder, and in NAME@NAME
                raise UserError(
                    f"{where}: stages: {name!r}: takes letters, digits, - and _ as a name"
                )
            task, place = made.stages[name].task, f"{where}: stages.{name}.task"
            if not takes_part(lookup.find("tasks", task, place), kind):
                fitting = [
                    t for t in lookup.names("tasks") if takes_part(lookup.find("tasks", t), kind)
                ]
                raise UserError(
                    f"{place}={task!r}: one of the {kind} takes {', '.join(fitting)}, or a class "
                    "made from it"
                )


def _twice(names: Iterable[str]) -> str | None:
    """The first name that comes again."""
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), None)


def _check_rows(made: Definition, where: str) -> None:
    known = [*made.proposals]
    known += [f"{r}{AT}{p}" for r in made.refinements for p in made.proposals]
    names = [row.name for row in made.rows]
    if not names:
        raise UserError(f"{where}: rows: there is none")
    if twice := _twice(names):
        raise UserError(f"{where}: rows: {twice!r} is named twice")
    for row in made.rows:
        if not row.maps or _twice(row.maps):
            raise UserError(f"{where}: rows.{row.name}.maps: takes one or more different maps")
        for name in row.maps:
            if name not in known:
                raise UserError(f"{where}: rows.{row.name}: {_unknown(name, known, 'map')}")
        if row.fusion not in RULES:
            raise UserError(f"{where}: rows.{row.name}: {_unknown(row.fusion, RULES, 'fusion')}")
    for pair in made.compared:
        if len(pair) != 2 or pair[0] == pair[1]:
            raise UserError(f"{where}: compared: {pair}: takes pairs of two different rows")
    for field, name in (
        ("predicted", made.predicted),
        *(("compared", name) for pair in made.compared for name in pair),
    ):
        if name not in names:
            raise UserError(f"{where}: {field}: {_unknown(name, names, 'row')}")


def _unknown(name: object, known: Mapping | list, kind: str) -> str:
    return f"{name!r} is no {kind}{nearest(str(name), known)} It has: {', '.join(known)}"


def _check_data(made: Definition, where: str) -> None:
    """UserError unless all stages are of one set and its splits, and ask for the same lesions."""
    used = {name: made.stages[name] for name in (*made.proposals, *made.refinements)}
    (first, reference), *others = used.items()
    for name, config in others:
        for field in ("name", "splits", "data_dir"):
            one, two = reference.data[field], config.data[field]
            one, two = (v.to_dict() if isinstance(v, ConfigDict) else v for v in (one, two))
            if one != two:
                raise UserError(
                    f"{where}: stages.{name}.data.{field} is {two!r}, that of {first} is {one!r}; "
                    "the stages of a pipeline are of one set"
                )
        for field in ("target", "healthy"):
            one, two = (c.task_options.get(field) for c in (reference, config))
            if one != two:
                raise UserError(
                    f"{where}: stages.{name}.task_options.{field} is {two!r}, that of {first} is "
                    f"{one!r}"
                )
