"""What a researcher may write wrongly in a task, metric or schedule is one line at the start."""

import shutil

import pytest

from segjax.cli import main
from tests.extending.test_classification import FILE, command, metrics
from tests.train import runs

pytestmark = pytest.mark.usefixtures("command_settings")

SCORES = '"correct": correct}'
RECORD = "label = np.int32(example.get(self.target, -1))"
SCHEDULE = 'config.schedule = spec("schedules", "constant")'
TERM = 'config.loss.cross_entropy = term("cross_entropy")'
PLAIN = """

def jumping(learning_rate, total_steps):
    return lambda step: learning_rate if step < 5 else 0.0


def nothing(learning_rate, total_steps):
    return None


def no_optimizer(*, learning_rate):
    return None


def number(times):
    return 0.5


def following(times, *, other="dice"):
    from segjax.optim.loss_weights import Weight
    return Weight(lambda step, memory: 1.0, {"sum": 0.0}, lambda *a: a[0], (other,))


def remembering(times):
    from segjax.optim.loss_weights import Weight
    at = lambda step, memory: 1.0 + memory["sum"]
    return Weight(at, {"sum": 0.0}, lambda memory, step, own: {"sum": memory["sum"] + own})
"""


def weighted(name):
    return (
        f'{TERM}\n    config.loss.cross_entropy.weight = spec("weights", "classification:{name}")'
    )


def written(tmp_path, monkeypatch, old="", new=""):
    """The experiment with one thing changed, in the current folder."""
    text = FILE.read_text() + PLAIN
    assert old in text
    (tmp_path / "classification.py").write_text(text.replace(old, new) if old else text)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "old, new, message",
    [
        (SCORES, "}", "`scores` gives label, probability; `scored` says correct, label, probabil"),
        (RECORD, "label = np.int32(example[self.target])", "of `image` alone: KeyError: 'eye'"),
        (RECORD, "label = np.zeros(2, np.int32)", "`record` gives image [16, 16, 3], label [2] of"),
        (', "labels": fields["label"]}', "}", "`bind` does not give labels, which `offers` names"),
        ("def predict(", "def predicted_as(", "task='classification:EyeClassification': lacks pre"),
        (
            SCHEDULE,
            'config.schedule = spec("schedules", "classification:jumping")',
            "config.schedule: classification:jumping () does not work: ",
        ),
        (TERM, weighted("number"), "weight.name='classification:number': gives float; a weight"),
        (TERM, weighted("following"), "weight.other='dice': reads the term 'dice', and there is"),
        ('{"logits": nn.Dense', '{"logit": nn.Dense', "dict with 'logits', got one with logit"),
    ],
)
def test_one_line_names_it(tmp_path, data_dir, monkeypatch, capfd, old, new, message):
    written(tmp_path, monkeypatch, old, new)
    given = command("train", tmp_path / "run", data_dir)
    given[given.index(str(FILE))] = "classification.py"
    assert main(given) == 2
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and message in errors
    assert not (tmp_path / "run").exists()


METRIC = 'Metric("accuracy", ("correct",), title="accuracy")'


@pytest.mark.parametrize(
    "old, new, message",
    [
        (METRIC, '("accuracy", "correct")', "its metric ('accuracy', 'correct') is no Metric"),
        (METRIC, 'Metric("", ("correct",))', "a metric without a name"),
        (
            METRIC,
            'Metric("a", ("correct",), title="a\\nb")',
            "name, title, unit and description, a line each",
        ),
        (
            METRIC,
            'Metric("a", ("correct",), lambda c: c[np.argsort(c)[0]] if c.ndim == 1 else 1 / 0)',
            "the statistic of its metric 'a' fails for columns [2, cases]: ZeroDivisionError",
        ),
        (METRIC, 'Metric("a", ("correct",), lambda c: c.sum(-1) * 1j)', "which is no number"),
        (METRIC, 'Metric("a", ("correct",), lambda c: "x")', "gives 'x', which is no number"),
        (
            'columns = ("probability", "label", "correct")',
            'columns = ("probability", "label")',
            "'accuracy' takes the column 'correct', which is none of its table",
        ),
        (SCORES, '"correct": correct[:, None]}', "gives 'correct' of shape [2, 1] for 2 cases"),
        (SCORES, '"correct": correct.mean()}', "gives 'correct' of shape [] for 2 cases"),
        ('{"logits": nn.Dense', '{"logits": None, "x": nn.Dense', "config.model: classification:"),
        (
            SCHEDULE,
            'config.schedule = spec("schedules", "classification:nothing")',
            "gives NoneTyp",
        ),
        (
            'spec("optimizers", "adamw", learning_rate=3e-3)',
            'spec("optimizers", "classification:no_optimizer", learning_rate=3e-3)',
            "config.optimizer.name='classification:no_optimizer': gives NoneType; an optimiser",
        ),
        (
            "for _ in range(2):",
            "calls = self.variable('own', 'calls', lambda: jnp.zeros((), jnp.int32))\n"
            "        if train:\n            calls.value = calls.value + 1.0\n"
            "        for _ in range(2):",
            "begins with own/calls int32[], and after a step it is float32[]; a state keeps its",
        ),
        (
            "for _ in range(2):",
            "size = self.variable('own', 'size', lambda: jnp.zeros(image.shape[0]))\n"
            "        if train:\n            size.value = image.mean((1, 2, 3))\n"
            "        for _ in range(2):",
            "begins with own/size float32[1], and after a step it is float32[2]",
        ),
        (
            "for _ in range(2):",
            "key = self.variable('own', 'key', lambda: jax.random.key(0))\n"
            "        for _ in range(2):",
            "keeps a key in own/key, which a checkpoint cannot hold",
        ),
    ],
)
def test_what_is_no_metric_network_or_schedule(
    tmp_path, data_dir, monkeypatch, capfd, old, new, message
):
    test_one_line_names_it(tmp_path, data_dir, monkeypatch, capfd, old, new, message)


@pytest.mark.parametrize(
    "path, value, message",
    [
        ("task", "os:path", "'posixpath' is no function or class"),
        ("model.name", "os:path", "'posixpath' is no function or class"),
        ("model.name", "builtins:dict", "'dict' tells no parameters"),
        ("loss.cross_entropy.name", "os:sep", "'str' is no function or class"),
        ("optimizer.name", "os:sep", "'str' is no function or class"),
        ("schedule.name", "os:sep", "'str' is no function or class"),
        ("data.name", "os:path", "config.data.name='os:path': is no builder of TensorFlow Datas"),
        ("seed", str(2**63), "config.seed=9223372036854775808: takes a whole number from 0 to"),
    ],
)
def test_a_name_of_something_else(tmp_path, data_dir, capfd, path, value, message):
    given = command("train", tmp_path / "run", data_dir)
    assert main([*given, f"--config.{path}={value}"]) == 2
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and message in errors


def test_an_option_of_a_loss_among_its_arrays_is_explained(tmp_path, data_dir, monkeypatch, capfd):
    (tmp_path / "mine.py").write_text("def loss(logits, labels, alpha=0.5):\n    return logits\n")
    monkeypatch.chdir(tmp_path)
    given = command("train", tmp_path / "run", data_dir)
    assert main([*given, "--config.loss.cross_entropy.name=mine:loss"]) == 2
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and "config.loss.cross_entropy.name='mine:loss': " in errors
    assert "put `*,` before `alpha`" in errors


def test_best_may_be_no_value_of_the_final_table_alone(tmp_path, data_dir, monkeypatch, capfd):
    columns = 'columns = ("probability", "label", "correct", "extra")'
    written(tmp_path, monkeypatch, 'columns = ("probability", "label", "correct")', columns)
    file = tmp_path / "classification.py"
    late = f'Metric("late", ("extra",)), {METRIC}'
    file.write_text(file.read_text().replace(METRIC, late))
    given = command("train", tmp_path / "run", data_dir, evaluate__best="late")
    given[given.index(str(FILE))] = "classification.py"
    assert main(given) == 2
    assert "gives no such value but in the final table" in capfd.readouterr().err


def test_rows_of_another_length_name_task_and_column(tmp_path, data_dir, monkeypatch, capfd):
    new = 'def rows(self, predictions, fields):\n        return {"extra": np.zeros(3)}\n\n'
    written(tmp_path, monkeypatch, "    def scores(", f"    {new}    def scores(")
    given = command("train", tmp_path / "run", data_dir, train__steps=1)
    given[given.index(str(FILE))] = "classification.py"
    assert main(given) == 2
    assert "`rows` or `judged` gives 'extra' of shape [3] for 16 cases" in capfd.readouterr().err


def test_a_statistic_that_sorts_in_place_leaves_the_table(tmp_path, data_dir, monkeypatch):
    median = 'Metric("median", ("probability",), lambda c: c.sort(-1) or c[..., c.shape[-1] // 2])'
    tables = []
    for name, metric in (("plain", METRIC), ("sorted", f"{METRIC}, {median}")):
        (tmp_path / name).mkdir()
        written(tmp_path / name, monkeypatch, METRIC, metric)
        given = command("train", tmp_path / name / "run", data_dir, train__steps=1)
        given[given.index(str(FILE))] = "classification.py"
        assert main(given) == 0
        tables.append((tmp_path / name / "run" / "predictions_validation.csv").read_text())
    assert tables[0] == tables[1]


def test_a_task_that_augments_nothing_offers_no_augmentation(tmp_path, data_dir, capfd):
    given = command("train", tmp_path / "run", data_dir, data__augment="x")
    given[-1] = "--config.data.augment.flip_horizontal=0.5"
    assert main(given) == 2
    assert "config.data.augment.flip_horizontal: no such key" in capfd.readouterr().err


def test_a_column_that_nothing_gives_is_named_by_predict(tmp_path, data_dir, monkeypatch, capfd):
    written(tmp_path, monkeypatch, 'predicted = ("probability",)', 'predicted = ("odds",)')
    given = command("train", tmp_path / "run", data_dir, train__steps=1)
    given[given.index(str(FILE))] = "classification.py"
    assert main(given) == 0
    capfd.readouterr()
    figure = next((tmp_path / "run" / "figures").glob("*.png"))
    words = ["--workdir", str(tmp_path / "run"), "--input", str(figure), "--output", "out"]
    assert main(["predict", *words]) == 2
    assert "`predicted` has 'odds', which neither" in capfd.readouterr().err


def test_a_single_term_may_have_a_weight_that_remembers(tmp_path, data_dir, monkeypatch, capfd):
    written(tmp_path, monkeypatch, TERM, weighted("remembering"))
    settings = {"train__steps": 4, "log__every_steps": 1, "evaluate__best": "loss"}
    given = command("train", tmp_path / "run", data_dir, **settings)
    given[given.index(str(FILE))] = "classification.py"
    assert main(given) == 0
    said = "config.evaluate.best='loss' compares losses whose weights change meanwhile"
    assert capfd.readouterr().err.count(said) == 1
    weights, losses, own = (
        runs.logged(tmp_path / "run", "train", name)
        for name in ("weight/cross_entropy", "loss", "loss/cross_entropy")
    )
    assert weights[1] == 1.0
    for step in (2, 3, 4):
        # The sums of the batches before: eight photographs each
        wanted = 1.0 + 8 * sum(own[before] for before in range(1, step))
        assert weights[step] == pytest.approx(wanted, rel=1e-4)
        assert losses[step] == pytest.approx(weights[step] * own[step], rel=1e-4)
    assert "loss/cross_entropy" in metrics(tmp_path / "run")


def test_an_engine_lies_beside_the_experiment(tmp_path, monkeypatch, capfd):
    (tmp_path / "mine").mkdir()
    shutil.copy(FILE, tmp_path / "mine" / "classification.py")
    text = "from tests.extending.fakes import Engine\nclass Noting(Engine): pass\n"
    (tmp_path / "mine" / "noting.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    given = ["sweep", "--config", "mine/classification.py", "--workdir", "s"]
    assert main([*given, "--engine", "noting:Noting"]) == 0
    commands = (tmp_path / "s" / "commands.txt").read_text().splitlines()[1:]
    assert len(commands) == 4
    # A folder `segjax` where the command runs is not the package
    assert all(" -P -m segjax.cli train " in line for line in commands)


def test_a_sweep_is_known_by_its_points_from_wherever_it_is_named(tmp_path, monkeypatch, capfd):
    given = ["--workdir", str(tmp_path / "s"), "--engine", "tests.extending.fakes:Engine"]
    (tmp_path / "classification.py").write_text(FILE.read_text())
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", "--config", "classification.py", *given]) == 0
    path = str(tmp_path / "classification.py")
    assert main(["sweep", "--config", path, *given, "--status"]) == 0
    assert "4 points: 4 missing" in capfd.readouterr().out
    assert main(["sweep", "--config", path, *given, "--config.train.steps=7"]) == 2
    errors = capfd.readouterr().err
    assert "holds another sweep (sweep.overrides.train.steps: only here)" in errors


def test_what_a_run_begins_with_is_checked_before_data_are_made(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(runs.ROOT))
    given = [*command("train", tmp_path / "run", tmp_path / "data"), "--config.model_init=nowhere"]
    assert main(given) == 2
    assert main(["config", str(FILE), "--config.model_init=nowhere"]) == 2
    errors = capfd.readouterr().err
    assert errors.count("config.model_init='nowhere': no such file or folder") == 2
    assert not (tmp_path / "data").exists() and not (tmp_path / "run").exists()
