"""A pipeline read from a file or a folder: every refusal names its place."""

import json
import pathlib

import pytest

from segjax.errors import UserError
from segjax.pipelines import definition, stages
from tests.pipelines import tiny

FILE = pathlib.Path(tiny.__file__)
HEAD = "from tests.pipelines import tiny\n"


def content():
    """What the file gives, for a test to change."""
    return tiny.get_pipeline().to_dict()


def test_the_file_is_read_as_it_is_written():
    made = definition.load(str(FILE))
    assert list(made.stages) == ["hgn", "half", "prn"]  # proposals, then refinements
    assert (made.proposals, made.refinements) == (tiny.PROPOSALS, tiny.REFINEMENTS)
    assert {row.name: row.maps for row in made.rows} == tiny.ROWS
    assert [row.fusion for row in made.rows] == ["arithmetic"] * 2 + ["geometric"] + [
        "arithmetic",
        "arithmetic",
        "geometric",
    ]
    assert (made.threshold, made.strides, made.above, made.most_patches) == (0.5, (4, 2), 0.4, 400)
    assert made.compared == tiny.COMPARED and made.paper == tiny.PAPER
    assert made.row("PRN").maps == ("prn@hgn",)


# --- what rows are made of ------------------------------------------------------------------------


def test_rows_need_their_stages_and_the_masks_of_these():
    made = definition.load(str(FILE))
    rows = {row.name: made.needed([row]) for row in made.rows}
    assert rows["HGN"] == (("hgn",), ())
    assert rows["HGN geometric"] == (("hgn", "half"), ())
    # Other rows take the refinement under `half`, too: its patches depend on both masks
    assert rows["PRN"] == (("hgn", "half"), ("prn",))
    assert made.masks_of("prn") == ("hgn", "half")


def test_masks_that_no_row_takes_are_not_needed():
    changed = content()
    changed["rows"] = tuple(row for row in changed["rows"] if row[0] in ("HGN", "PRN"))
    changed |= {"predicted": "PRN", "compared": ()}
    made = definition.checked(changed, "here")
    assert made.masks_of("prn") == ("hgn",)
    assert made.needed(made.rows) == (("hgn",), ("prn",))


def test_proposals_alone_are_a_pipeline():
    changed = content() | {"refinements": (), "predicted": "HGN", "compared": ()}
    changed["rows"] = changed["rows"][:3]
    made = definition.checked(changed, "here")
    assert made.needed(made.rows) == (("hgn", "half"), ())


# --- refusals -------------------------------------------------------------------------------------


def renamed(name, stage):
    def change(c):
        c["stages"][name] = c["stages"].pop(stage)
        c["proposals"] = tuple(name if p == stage else p for p in c["proposals"])

    return change


def row(name="HGN", maps=("hgn",), fusion="arithmetic"):
    def change(c):
        c["rows"] = (*c["rows"], (name, maps, fusion))

    return change


def stage(name, section, field, value):
    def change(c):
        c["stages"][name][section][field] = value

    return change


def at(field, value, section=None):
    def change(c):
        (c[section] if section else c)[field] = value

    return change


REFUSALS = {
    "another kind": (at("pipeline", "three"), "pipeline='three': takes 'two_stages'"),
    "no proposal": (at("proposals", ()), "proposals: there is none"),
    "unknown proposal": (
        at("proposals", ("hgn", "hal")),
        "proposals: 'hal' is no stage, did you mean 'half'? It has: ",
    ),
    "unknown refinement": (at("refinements", ("prm",)), "refinements: 'prm' is no stage, did you"),
    "a stage twice": (at("proposals", ("hgn", "half", "hgn")), "proposals: 'hgn' is named twice"),
    "a refinement proposes": (
        at("proposals", ("hgn", "prn")),
        "stages.prn.task='patch_refinement': one of the proposals takes lesion_segmentation",
    ),
    "a proposal refines": (
        at("refinements", ("half",)),
        "stages.half.task='lesion_segmentation': one of the refinements takes patch_refinement",
    ),
    "an unknown task": (
        lambda c: c["stages"]["prn"].update(task="patch_refinment"),
        "stages.prn.task='patch_refinment': segjax has no such name among its tasks, did you mean",
    ),
    "a name for no folder": (renamed("../hgn", "hgn"), "stages: '../hgn': takes letters, digits"),
    "no rows": (at("rows", ()), "rows: there is none"),
    "a row twice": (row(), "rows: 'HGN' is named twice"),
    "a row without maps": (row("x", ()), "rows.x.maps: takes one or more different maps"),
    "a map twice": (row("x", ("hgn", "hgn")), "rows.x.maps: takes one or more different maps"),
    "an unknown map": (
        row("x", ("hgn", "prn@hgm")),
        "rows.x: 'prn@hgm' is no map, did you mean 'prn@hgn'? It has: hgn, half, prn@hgn, prn@half",
    ),
    "a refinement as a map": (row("x", ("prn",)), "rows.x: 'prn' is no map"),
    "an unknown fusion": (
        row("x", fusion="geometrical"),
        "rows.x: 'geometrical' is no fusion, did you mean 'geometric'? It has: arithmetic, geo",
    ),
    "predicts another row": (
        at("predicted", "PRN geometrc"),
        "predicted: 'PRN geometrc' is no row, did you mean 'PRN geometric'?",
    ),
    "compares another row": (at("compared", (("HGN", "HG"),)), "compared: 'HG' is no row, did you"),
    "compares three": (
        at("compared", (("HGN", "half", "PRN"),)),
        "compared: ('HGN', 'half', 'PRN'): takes pairs of two different rows",
    ),
    "compares with itself": (at("compared", (("HGN", "HGN"),)), "takes pairs of two different"),
    "strides that rise": (
        at("strides", (1, 4), "refine"),
        "refine.strides=(1, 4): takes falling whole numbers of at least 1",
    ),
    "no strides": (at("strides", (), "refine"), "refine.strides=(): takes falling"),
    "broken strides": (at("strides", (2.5,), "refine"), "refine.strides=(2.5,): takes falling"),
    "a stride of 0": (at("strides", (2, 0), "refine"), "refine.strides=(2, 0): takes falling"),
    "a threshold": (at("threshold", 1.5, "refine"), "refine.threshold=1.5: takes a number from 0"),
    "above": (at("above", "x", "refine"), "refine.above='x': takes a number from 0 to 1"),
    "a bound": (at("most_patches", -1, "refine"), "refine.most_patches=-1: takes a whole number"),
    "a hit": (at("hit", "overlaps"), "hit='overlaps': takes one of overlap, centre, distance, did"),
    "a paper's figure": (
        at("paper", (("HGN", (("auc", 0.3),)),)),
        "paper: HGN='auc': takes one of auc_pr, f1, precision, recall",
    ),
    "a paper's percentage": (
        at("paper", (("HGN", (("f1", 33.7),)),)),
        "paper: HGN: f1=33.7: takes a number from 0 to 1",
    ),
    "two sets": (
        stage("prn", "data", "name", "synthetic_fundus/64px_8_12_6"),
        "stages.prn.data.name is 'synthetic_fundus/64px_8_12_6', that of hgn is 'synthetic_fundus/"
        "96px_8_12_6'; the stages of a pipeline are of one set",
    ),
    "other splits": (
        stage("half", "data", "splits", {"train": "train", "validation": "test", "test": "test"}),
        "stages.half.data.splits is {",
    ),
    "another folder": (stage("half", "data", "data_dir", "x"), "stages.half.data.data_dir is 'x'"),
    "another target": (
        stage("prn", "task_options", "target", "haemorrhages"),
        "stages.prn.task_options.target is 'haemorrhages', that of hgn is 'microaneurysms'",
    ),
    "other healthy ones": (
        stage("prn", "task_options", "healthy", ""),
        "stages.prn.task_options.healthy is '', that of hgn is 'grade=0'",
    ),
    "no section": (lambda c: c.pop("refine"), "no pipeline of two stages: lacks 'refine'"),
    "no stages": (lambda c: c.pop("stages"), "no pipeline of two stages: lacks 'stages'"),
    "a row of two": (at("rows", (("x", ("hgn",)),)), "not as recipes.microaneurysms.two_stages"),
    "a number as stages": (at("proposals", 3), "not as recipes.microaneurysms.two_stages gives it"),
    "a stage that is none": (lambda c: c["stages"].update(hgn=3), "not as recipes.microaneurysms"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_name_their_place(name):
    change, words = REFUSALS[name]
    changed = content()
    change(changed)
    with pytest.raises(UserError) as caught:
        definition.checked(changed, "my.py:arg")
    assert str(caught.value).startswith("my.py:arg: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


FILES = {
    "x = 1\n": "the file has no get_pipeline(arg); one with get_config() is trained by `segjax tr",
    "def get_pipeline(arg):\n    return {}\n": "get_pipeline returns a ConfigDict, got dict",
    "def get_pipeline(arg):\n    return 1 / 0\n": "ZeroDivisionError: division by zero (line 2)",
    HEAD + "get_pipeline = tiny.get_pipeline\n": "get_pipeline() takes no argument after the colon",
    "import ml_collections\ndef get_pipeline(arg):\n    return ml_collections.ConfigDict({})\n": (
        "no pipeline of two stages: lacks 'pipeline'"
    ),
}


@pytest.mark.parametrize("text", FILES, ids=range(len(FILES)))
def test_files_that_give_no_pipeline_are_refused(text, tmp_path):
    path = tmp_path / "two.py"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        definition.load(f"{path}:words")
    assert str(path) in str(caught.value) and FILES[text] in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="gone.py: no such file"):
        definition.load(str(tmp_path / "gone.py"))


# --- overrides and places -------------------------------------------------------------------------


def test_overrides_reach_the_composition_and_the_stages():
    given = {
        "refine.strides": "(2,)",
        "refine.most_patches": "7",
        "predicted": "HGN",
        "stages.prn.train.steps": "3",
        "stages.half.task_options.scale": "0.25",
    }
    made = definition.load(str(FILE), given)
    assert (made.strides, made.most_patches, made.predicted) == ((2,), 7, "HGN")
    assert [config.train.steps for config in made.stages.values()] == [2, 2, 3]
    assert made.stages["half"].task_options.scale == 0.25
    assert made.content["refine"]["strides"] == (2,)


def test_another_network_brings_its_options_along():
    given = {"stages.prn.model.features": "6", "stages.prn.model.name": "PatchResNet"}
    with pytest.raises(UserError, match="features: no such key"):
        definition.load(str(FILE), given)
    made = definition.load(str(FILE), {"stages.prn.model.name": "PatchResNet"})
    assert made.stages["prn"].model.name == "PatchResNet"
    assert "width" in made.stages["prn"].model and "features" not in made.stages["prn"].model


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("refine.stride", "(2,)", "did you mean 'strides'"),
        ("refine.strides", "2", "--config.refine.strides=2: takes tuple"),
        ("refine.strides", "(1, 2)", "refine.strides=(1, 2): takes falling"),
        ("stages.prm.train.steps", "3", "did you mean 'prn'"),
        ("stages.prn.train.step", "3", "stage prn: --config.train.step: no such key, did you mean"),
        ("stages.prn.train.steps", "many", "stage prn: --config.train.steps='many': takes int"),
        ("stages.prn", "3", "is a section"),
        ("rows", "()", "rows: there is none"),
    ],
)
def test_overrides_that_do_not_fit_are_refused(path, text, words):
    with pytest.raises(UserError) as caught:
        definition.load(str(FILE), {path: text})
    assert words in str(caught.value)


def test_places_are_those_of_all_stages():
    made = definition.load(str(FILE), {}, {"data_dir": "/there", "cache_dir": "/kept"})
    assert {c.data.data_dir for c in made.stages.values()} == {"/there"}
    assert {c.data.cache_dir for c in made.stages.values()} == {"/kept"}


# --- a folder -------------------------------------------------------------------------------------


def test_a_folder_gives_back_what_was_written(tmp_path):
    made = definition.load(str(FILE), {"refine.strides": "(3, 1)"})
    stages.write(made, tmp_path)
    again = definition.read(tmp_path)
    assert again == made
    assert all(config.is_locked for config in again.stages.values())
    stages.write(again, tmp_path)
    assert definition.read(tmp_path) == made


def test_a_folder_that_lacks_later_options_has_their_defaults(tmp_path):
    made = definition.load(str(FILE))
    stages.write(made, tmp_path)
    path = tmp_path / definition.NAME
    saved = json.loads(path.read_text())
    del saved["stages"]["hgn"]["task_options"]["tile_margin"], saved["stages"]["prn"]["paper"]
    path.write_text(json.dumps(saved))
    assert definition.read(tmp_path) == made


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", '{"stages": 3}', '{"stages": {"a": 3}, "pipeline": "two_stages"}'],
)
def test_a_damaged_folder_is_named(text, tmp_path):
    (tmp_path / definition.NAME).write_text(text)
    with pytest.raises(UserError) as caught:
        definition.read(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / definition.NAME}: ")


def test_another_folder_is_named(tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path}: not the folder of a pipeline"):
        definition.read(tmp_path)
