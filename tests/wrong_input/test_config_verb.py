"""What `segjax config` refuses: all that `train` would before it reads data."""

import pytest

from tests.train import runs
from tests.wrong_input.words import DEMO, HEAD

pytestmark = pytest.mark.usefixtures("command_settings")

TINY = ["--config.model.name=tests.train.tiny:Tiny", "--config.model.features=(4,)"]


@pytest.mark.parametrize(
    "words, names",
    [
        ([], ["FILE[:ARG]", "--workdir"]),
        ([DEMO, "--workdir", "run"], ["FILE[:ARG]", "--workdir"]),
        ([DEMO, "--config", DEMO], ["FILE[:ARG]", "--workdir"]),
        ([DEMO, "stray"], ["stray"]),
        ([DEMO, "--jsn"], ["--jsn", "did you mean '--json'?"]),
        (["demoo.py"], ["demoo.py", "no such file"]),
        (["--workdir", "nowhere"], ["nowhere", "no such folder"]),
        (["--workdir", "nowhere", "--config.seed=1"], ["--config.seed", "as it is"]),
        ([f"{DEMO}:lss=mse"], ["'lss=mse'", "did you mean 'loss'?"]),
        ([DEMO, "--config.seed"], ["--config.seed=1"]),
        ([DEMO, "--config.sed=1"], ["--config.sed", "did you mean 'seed'?"]),
        ([DEMO, "--config.seed=abc"], ["--config.seed='abc'", "takes int"]),
        ([DEMO, "--config.task_options.decode=argmaks"], ["decode='argmaks'"]),
        ([DEMO, "--config.optimizer.name=adamww"], ["did you mean 'adamw'?"]),
        ([DEMO, "--config.loss.msce.pool=maks", *TINY], ["maks", "max"]),
        ([DEMO, "--config.evaluate.best=los", *TINY], ["config.evaluate.best='los'"]),
        ([DEMO, "--config.model.features=(0,)"], ["features"]),
    ],
)  # fmt: skip
def test_words(refuses, words, names):
    refuses("config", *words, names=names)


@pytest.mark.parametrize(
    "text, names",
    [
        ("    config.data.batchsize = 8\n    return config\n", ["did you mean 'batch_size'?"]),
        ("    return config\ndef sweep():\n    return []\n", ["sweep() gives no point"]),
    ],
)
def test_experiment_files(refuses, tmp_path, text, names):
    (tmp_path / "mine.py").write_text(HEAD + text)
    refuses("config", "mine.py", *TINY, names=["mine.py" if "sweep" in text else "", *names])


def test_a_damaged_folder(refuses, tmp_path, trained):
    copy = runs.copied(trained, tmp_path)
    (copy / "config.json").write_text("{")
    refuses("config", "--workdir", copy, names=[copy / "config.json", "damaged config"])
