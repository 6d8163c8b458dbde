"""What a person sees of a training: lines in a file, a bar on a terminal, pictures, versions."""

import pathlib
import re
import subprocess

import pytest

import segjax
from segjax.cli import main
from segjax.train import logs
from tests.train import runs

pytestmark = pytest.mark.usefixtures("command_settings")


def test_a_run_says_what_it_trains_and_goes_on_line_by_line(data_dir, tmp_path, capfd):
    words = runs.words(tmp_path / "run", data_dir, train__steps=7, log__every_steps=3)
    assert main(words) == 0
    first, *lines = [line for line in capfd.readouterr().err.splitlines() if line]
    assert re.fullmatch(
        r"localization \(point fovea\), synthetic_fundus/48px_24_10_8 "
        r"\(24 to train on, 10 to validate\): "
        r"tests\.train\.tiny:Normed with [\d,]+ parameters, "
        r"7 steps of 8 at 32 x 32 pixels, float32, 8 x cpu",
        first,
    )
    assert lines[0] == "compiling the training step"
    assert re.fullmatch(r"compiled the training step in \d+\.\d s", lines[1])
    steps = [line for line in lines if line.startswith("step") and "loss" in line.split(", ")[0]]
    steps = [line for line in steps if " of 7: loss " in line]
    assert [int(line.split()[1]) for line in steps] == [3, 6, 7]
    assert all(re.search(r": loss [\d.]+, [\d.]+ images/s, 0\d:\d\d left$", s) for s in steps)


def test_a_run_that_goes_on_says_from_where(data_dir, tmp_path, capfd):
    assert main(runs.words(tmp_path / "run", data_dir)) == 0
    for name in ("done.json", "report.md"):
        (tmp_path / "run" / name).unlink()
    capfd.readouterr()
    assert main(runs.words(tmp_path / "run", data_dir)) == 0
    assert ", 2 steps of 8 at 32 x 32 pixels, from step 2, float32" in capfd.readouterr().err


def test_the_last_line_names_what_was_written(data_dir, tmp_path, capfd):
    assert main(runs.words(tmp_path / "run", data_dir)) == 0
    last = capfd.readouterr().out.splitlines()[-1]
    folder, names = last.split(" has ")
    assert folder == str(tmp_path / "run")
    for name in names.replace(" and ", ", ").split(", "):
        assert (tmp_path / "run" / name).exists(), name
    assert main(runs.words(tmp_path / "run", data_dir)) == 0
    assert "trained to its end already" in capfd.readouterr().err


def test_the_first_step_does_not_count_in_the_rate_of_images(data_dir, tmp_path):
    assert main(runs.words(tmp_path / "run", data_dir, train__steps=3)) == 0
    rate = runs.logged(tmp_path / "run", "train", "images_per_second")
    # Of the first step alone, which compiles, no rate is known
    assert rate[1] is None and rate[2] > 0 and rate[3] > 0


def test_the_environment_has_the_version_and_only_the_commit_of_segjax(tmp_path, monkeypatch):
    described = logs.environment()
    assert described["segjax"] == segjax.__version__
    head = ["git", "rev-parse", "--short", "HEAD"]
    here = subprocess.run(head, cwd=runs.ROOT, capture_output=True, text=True).stdout.strip()
    assert described["commit"].rstrip("+") == here
    # Installed in an environment that lies within the repository of another project
    package = tmp_path / "project" / ".venv" / "segjax"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    git = ["git", "-C", str(tmp_path / "project"), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "theirs"]):
        subprocess.run([*git, *words], check=True)
    monkeypatch.setattr(segjax, "__file__", str(package / "__init__.py"))
    assert logs.environment()["commit"] is None
    # Even where they keep a copy of it in their repository
    subprocess.run([*git, "add", "-f", "."], check=True)
    assert logs.environment()["commit"] is None


def test_the_report_names_the_version(trained: pathlib.Path):
    assert f"segjax {segjax.__version__}" in (trained / "report.md").read_text()
