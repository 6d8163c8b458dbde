"""A network and a sibling beside the experiment file serve every verb, wherever it is called."""

import shutil

import pytest

from segjax.cli import main
from tests.train import runs
from tests.wrong_input.words import HEAD, picture

pytestmark = pytest.mark.usefixtures("command_settings")


@pytest.fixture(scope="module")
def study(tmp_path_factory, data_dir):
    """A study folder with its files, trained into its folder `run`, called from elsewhere."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "sibling.py").write_text("from tests.train.tiny import Normed as Base\n")
    text = "import sibling\nclass Own(sibling.Base):\n    '''The user's own network.'''\n"
    (folder / "ownnetwork.py").write_text(text)
    (folder / "mine.py").write_text("import sibling\n" + HEAD + "    return config\n")
    words = runs.words(folder / "run", data_dir, model__name="ownnetwork:Own")
    words[words.index("--config") + 1] = str(folder / "mine.py")
    with pytest.MonkeyPatch.context() as patch, _standard():
        patch.chdir(tmp_path_factory.mktemp("elsewhere"))
        assert main(words) == 0
    return folder


def _standard():
    import contextlib

    import jax

    stack = contextlib.ExitStack()
    stack.enter_context(jax.numpy_dtype_promotion("standard"))
    stack.enter_context(jax.numpy_rank_promotion("allow"))
    return stack


def test_every_verb_finds_the_users_network(study, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    folder = study / "run"
    photograph = str(picture(tmp_path / "a.png"))
    words = ["--workdir", str(folder)]
    grid = ["--points", "3", "--eigenvalues", "0", "--examples", "1"]
    for verb in (
        ["evaluate", *words, "--split", "test"],
        ["predict", *words, "--input", photograph, "--output", "out"],
        ["export", *words, "--output", "exported"],
        ["report", str(folder)],
        ["landscape", "parameters", *words, *grid],
    ):
        assert main(verb) == 0, (verb, capfd.readouterr().err)
    assert not list(study.rglob("__pycache__"))


def test_the_current_folder_serves_where_the_experiments_is_gone(
    study, tmp_path, monkeypatch, capfd
):
    moved = tmp_path / "moved"
    shutil.copytree(study, moved)
    environment = moved / "run" / "env.json"
    gone = tmp_path / "gone"
    environment.write_text(
        environment.read_text().replace(str(study / "mine.py"), f"{gone}/mine.py")
    )
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "--workdir", str(moved / "run")]) == 2
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and "config.model.name='ownnetwork:Own'" in errors
    assert f"looked in {tmp_path} " in errors and f"experiment's folder {gone} is gone" in errors
    monkeypatch.chdir(moved)
    assert main(["evaluate", "--workdir", "run"]) == 0
