"""A trained work folder where its data set is not: removed since, or left on another machine."""

import json
import shutil

import pytest

from segjax.cli import main
from segjax.data.dataset import Dataset
from segjax.errors import UserError
from segjax.inference.open import load_trained, open_parts
from segjax.train import workdir
from tests.data.folders.settings import picture, table
from tests.train import runs

pytestmark = pytest.mark.usefixtures("command_settings")
MISSING = "config.data.name='my_set': the run was trained on a set that is not in"


@pytest.fixture(scope="module")
def desk(tmp_path_factory, command_settings):
    """Photographs with points, and a run that was trained on them as an own set, since removed."""
    folder = tmp_path_factory.mktemp("desk")
    rows = []
    for n in range(20):
        picture(folder / "images" / f"{n}.png", seed=n)
        rows.append((f"{n}.png", 3 + n % 5, 7))
    table(folder / "points.csv", ("image", "fovea_x", "fovea_y"), *rows)
    prepare(folder)
    chosen = {"data__name": "my_set"}
    assert main(runs.words(folder / "run", folder / "data", **chosen)) == 0
    assert main(["data", "prepare", "synthetic_fundus/48px_1_1_1", *at(folder)]) == 0
    shutil.move(folder / "data" / "my_set", folder / "away" / "my_set")
    return folder


def prepare(folder):
    """The own set, in its data folder."""
    words = ["--images", folder / "images", "--points", folder / "points.csv", "--name", "my_set"]
    assert main(["data", "prepare", "folder", *map(str, words), *at(folder)]) == 0


def at(folder):
    return ["--data_dir", str(folder / "data")]


@pytest.fixture
def run(desk, tmp_path):
    """A copy of the work folder."""
    return shutil.copytree(desk / "run", tmp_path / "run")


def test_predict_gives_what_it_gave_with_the_set(desk, run, tmp_path, capfd):
    words = ["predict", "--workdir", run, "--input", desk / "images", "--output"]
    assert main([*map(str, words), str(tmp_path / "without")]) == 0
    assert "Traceback" not in capfd.readouterr().err
    assert main([*map(str, words), str(tmp_path / "with"), "--data_dir", str(desk / "away")]) == 0
    tables = [(tmp_path / name / "predictions.csv").read_bytes() for name in ("with", "without")]
    assert tables[0] == tables[1] and tables[0].count(b"\n") == 21


def test_export_writes_its_three_files(run, tmp_path):
    assert main(["export", "--workdir", str(run), "--output", str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_a_report_has_its_table_and_curves_and_says_why_no_pictures(desk, run, capfd):
    before = (run / "report.md").read_text()
    shutil.rmtree(run / "figures")
    (run / "report.md").unlink()
    assert main(["report", str(run)]) == 0, capfd.readouterr().err
    after = (run / "report.md").read_text()
    assert f"No pictures of cases: {MISSING} {desk / 'data'}" in after
    assert "changed since" not in after
    row = next(line for line in before.splitlines() if line.startswith("| "))
    assert row in after and "## validation" in after and "learning_curves.png" in after
    assert [path.name for path in (run / "figures").iterdir()] == ["learning_curves.png"]
    # With the set it has its pictures again, and no such line
    assert main(["report", str(run), "--data_dir", str(desk / "away")]) == 0
    assert "No pictures" not in (run / "report.md").read_text()
    assert len(list((run / "figures").iterdir())) > 1


def test_a_report_of_a_changed_set_says_that_it_has_changed(desk, run, tmp_path):
    shutil.copytree(desk / "away", tmp_path / "data")
    path = run / "metrics_validation.json"
    content = json.loads(path.read_text()) | {"data_digest": "0" * 64}
    path.write_text(json.dumps(content))
    assert main(["report", str(run), "--data_dir", str(tmp_path / "data")]) == 0
    assert "the prepared set has changed since this table" in (run / "report.md").read_text()


@pytest.mark.parametrize(
    "words",
    [("evaluate", "--split", "test"), ("landscape", "parameters", "--output", "picture.png")],
)
def test_what_needs_the_set_says_where_it_is_missing(desk, run, capfd, monkeypatch, words):
    monkeypatch.chdir(run.parent)
    assert main([*words, "--workdir", str(run)]) == 2
    errors = capfd.readouterr().err
    assert f"{MISSING} {desk / 'data'}; prepare it there again" in errors
    assert "--data_dir" in errors and "did you mean" not in errors and errors.count("\n") == 1


def test_training_on_says_which_set_is_missing_and_how_it_is_made_again(desk, run, capfd):
    place = desk / "data"
    words = runs.words(run, place, data__name="my_set")
    assert main(words) == 2
    errors = capfd.readouterr().err
    assert errors == (
        f"segjax: --workdir {run}: was trained on the set 'my_set', which is not in {place}; make "
        "it again from the same files: `segjax data prepare folder --images DIR … --name my_set "
        f"--data_dir {place}` (volumes: `prepare nnunet --manual_dir DIR …`), or say where it is "
        "by --config.data.data_dir\n"
    )
    # Whether this is the run at all comes first
    assert main([*words, "--config.train.steps=4"]) == 2
    assert "holds another experiment (config.train.steps" in capfd.readouterr().err
    assert main([*words, f"--config.data.data_dir={desk / 'away'}"]) == 0


def test_a_run_on_a_set_of_ones_own_builder_says_what_cannot_be_imported(run, capfd):
    config = json.loads((run / "config.json").read_text())
    config["data"]["name"] = "gone_module:Set"
    (run / "config.json").write_text(json.dumps(config))
    assert main(runs.words(run, config["data"]["data_dir"], data__name="gone_module:Set")) == 2
    errors = capfd.readouterr().err
    assert errors.startswith("segjax: config.data.name='gone_module:Set': cannot import it")
    assert errors.count("\n") == 1 and "data prepare folder" not in errors


def test_a_new_run_says_where_a_set_of_ones_own_is_looked_for(desk, tmp_path, capfd):
    assert main(runs.words(tmp_path / "new", desk / "data", data__name="my_set")) == 2
    errors = capfd.readouterr().err
    assert "config.data.name='my_set': " in errors
    where = f"a set of your own has to be prepared in {desk / 'data'} (--config.data.data_dir)"
    assert where in errors and errors.count("\n") == 1


def test_a_run_without_its_number_of_examples_is_opened_too(run, capfd):
    path = run / "env.json"
    content = json.loads(path.read_text())
    del content["examples"]
    path.write_text(json.dumps(content))
    assert load_trained(run).experiment.clock.examples == 8
    assert "my_set is not prepared" in capfd.readouterr().err


def test_a_set_that_is_not_there_answers_nothing(desk, run):
    data = Dataset(workdir.open_existing(run).data, trained=True)
    assert not (data.is_known or data.is_prepared or data.is_generated or data.has("train"))
    assert MISSING in data.obstacle()
    for use in (
        data.require,
        lambda: data.features,
        lambda: data.digest,
        lambda: data.names("test"),
    ):
        with pytest.raises(UserError, match="is not in"):
            use()
    with pytest.raises(UserError, match="is not in"):
        open_parts(run)
    # One that is to be downloaded is known, and not here; one of a builder that is gone is neither
    other = workdir.open_existing(run).data.copy_and_resolve_references()
    for name, reason in (("drive", "not prepared"), ("gone_module:Set", "gone_module")):
        with other.unlocked():
            other.name = name
        assert reason in Dataset(other, trained=True).obstacle()
    # What is wrong besides is said as ever
    other = workdir.open_existing(run).data.copy_and_resolve_references()
    with other.unlocked():
        other.name = "synthetic_fundus/smal"
    with pytest.raises(UserError, match="did you mean 'small'"):
        Dataset(other, trained=True).check_known()
