"""Wrong experiment files and wrong values of a config."""

import pytest

from tests.train import runs
from tests.wrong_input.words import DEMO, HEAD

pytestmark = pytest.mark.usefixtures("command_settings")


@pytest.mark.parametrize(
    "text, names",
    [
        ("def get_config(arg=None:\n    return 1\n", ["SyntaxError", "line 1"]),
        ("import jaxx\n", ["ModuleNotFoundError", "jaxx"]),
        ("x = 1\n", ["no get_config"]),
        (HEAD, ["ConfigDict", "NoneType"]),
        (HEAD + "    config.data.batchsize = 8\n    return config\n",
         ["config.data.batchsize", "did you mean 'batch_size'?"]),
        (HEAD + "    config.sed = 8\n    return config\n", ["config.sed", "did you mean 'seed'?"]),
        (HEAD + "    config.data.batch_size = config.data.bach\n    return config\n", ["bach"]),
        (HEAD + "    config.train.epochs = 3\n    return config\n",
         ["config.train.steps and config.train.epochs", "both set"]),
        (HEAD + "    config.data.batch_size = '8'\n    return config\n",
         ["config.data.batch_size='8'", "takes int"]),
        (HEAD + "    config.data = 8\n    return config\n", ["config.data=8", "section"]),
        (HEAD + "    config.model = 'CellposeUNet'\n    return config\n", ["config.model='Cellp"]),
        (HEAD + "    del config.model.name\n    return config\n", ["config.model.name: missing"]),
        (HEAD + "    del config.train.clip_norm\n    return config\n", ["config.train.clip_norm"]),
        (HEAD + "    config.loss = {}\n    return config\n", ["config.loss", "no term"]),
        (HEAD + "    config.loss.msce = 1\n    return config\n", ["config.loss.msce", "section"]),
        (HEAD + "    del config.loss.msce.weight\n    return config\n", ["msce", "weight"]),
        (HEAD + "    config.loss.msce.poool = 'max'\n    return config\n",
         ["config.loss.msce.poool", "did you mean 'pool'?"]),
        (HEAD + "    config.data.augment.noize = 0.1\n    return config\n",
         ["config.data.augment.noize", "did you mean 'noise'?"]),
        (HEAD + "    config.data.splits = {'train': 'train'}\n    return config\n",
         ["config.data.splits.validation", "missing"]),
        (HEAD + "    config.train.steps = float('inf')\n    return config\n", ["train.steps"]),
        (HEAD + "    config.task_options.targt = 'disc'\n    return config\n",
         ["config.task_options.targt", "did you mean 'target'?"]),
    ],
)  # fmt: skip
def test_experiment_files(refuses, tmp_path, text, names):
    path = tmp_path / "mine.py"
    path.write_text(text)
    refuses("train", "--config", path, "--workdir", tmp_path / "run", names=names)


@pytest.mark.parametrize(
    "line, names",
    [
        ("config.paper = {'r_aed': 'six'}", ["config.paper.r_aed='six'", "a mean and a deviation"]),
        ("config.paper = {'r_aed': (6.1, 0.2, 3)}", ["config.paper.r_aed=(6.1, 0.2, 3)"]),
        ("config.paper = {'r_aed': True}", ["config.paper.r_aed=True"]),
        ("config.paper = {'r_aed': {'mean': 1}}", ["config.paper.r_aed=", "takes a number"]),
        ("config.paper = {'r_aed': float('nan')}", ["config.paper.r_aed=nan"]),
        ("config.seed = print", ["config.seed=<built-in", "takes numbers"]),
        ("sys.exit('no licence')", ["sys.exit(no licence)", "line 6"]),
    ],
)
def test_what_an_experiment_file_does(refuses, tmp_path, line, names):
    (tmp_path / "mine.py").write_text(f"{HEAD}    {line}\n    return config\n")
    refuses("train", "--config", "mine.py", "--workdir", "run", names=["config", *names])


def test_an_experiment_file_that_is_not_there(refuses, tmp_path):
    absent = tmp_path / "demoo.py"
    refuses("train", "--config", absent, "--workdir", "run", names=[absent, "no such file"])
    (tmp_path / "demo.txt").write_text("")
    refuses("train", "--config", "demo.txt", "--workdir", "run", names=["demo.txt", "*.py"])
    refuses("bench", "--config", absent, names=[absent])


@pytest.mark.parametrize(
    "arg, names",
    [
        ("lss=mse", ["'lss=mse'", "did you mean 'loss'?"]),
        ("loss=msc", ["msc", "mse, sce, msce"]),
        ("loss", ["'loss'", "needs a value"]),
    ],
)
def test_arguments_of_an_experiment(refuses, arg, names):
    refuses("train", "--config", f"{DEMO}:{arg}", "--workdir", "run", names=names)


@pytest.mark.parametrize(
    "path, value, names",
    [
        ("sed", 1, ["--config.sed", "did you mean 'seed'?"]),
        ("optimizer.learning_rat", 1, ["learning_rat", "did you mean 'learning_rate'?"]),
        ("optimiser.learning_rate", 1, ["--config.optimiser", "did you mean 'optimizer'?"]),
        ("data.augment.noize", 1, ["noize", "did you mean 'noise'?"]),
        ("loss.msce.poool", "max", ["--config.loss.msce.poool", "did you mean 'pool'?"]),
        ("model", "CellposeUNet", ["--config.model", "is a section"]),
        # names
        ("task", "localisation", ["config.task='localisation'", "did you mean 'localization'?"]),
        ("task", "None", ["config.task=None"]),
        ("model.name", "CellposeUnet", ["config.model.name", "did you mean 'CellposeUNet'?"]),
        ("loss.msce.name", "multiscale_softmax_cross_entropi",
         ["config.loss.msce.name", "did you mean 'multiscale_softmax_cross_entropy'?"]),
        ("loss.msce.name", "region_wise", ["config.loss.msce.name='region_wise': wants logits"]),
        ("loss.msce.name", "math:floor", ["config.loss.msce"]),
        ("optimizer.name", "adamww", ["config.optimizer.name='adamww'", "did you mean 'adamw'?"]),
        ("optimizer.name", "decay", ["config.optimizer.name='decay'", "no such name"]),
        ("schedule.name", "cosine_decai", ["config.schedule.name", "did you mean 'cosine_decay'?"]),
        ("data.name", "synthetic_fundos", ["config.data.name", "did you mean 'synthetic_fundus'?"]),
        ("data.name", "synthetic_fundus/smal", ["config.data.name", "did you mean 'small'?"]),
        ("data.name", "synthetic_fundus/8px_4_4_4", ["synthetic_fundus/8px_4_4_4"]),
        ("data.name", "idrid/localization", ["idrid/localization", "segjax data prepare"]),
        ("data.splits.train", "trian", ["config.data.splits.train='trian'", "mean 'train'?"]),
        ("data.splits.validation", "train[:0]", ["config.data.splits.validation='train[:0]'"]),
        ("data.splits.train", 5, ["config.data.splits.train='5'"]),
        ("data.splits.train", "none", ["config.data.splits.train=None"]),
        ("evaluate.best", "los", ["config.evaluate.best='los'", "did you mean 'loss'?", "r_aed"]),
        ("evaluate.best_mode", "mix", ["config.evaluate.best_mode='mix'", "did you mean 'min'?"]),
        ("dtype", "bfloat", ["config.dtype='bfloat'", "did you mean 'bfloat16'?"]),
        ("parallel", "shardin", ["config.parallel='shardin'", "did you mean 'sharding'?"]),
        ("data.resident", "maybe", ["config.data.resident='maybe'", "auto, yes, no"]),
        ("task_options.decode", "argmaks", ["config.task_options.decode='argmaks'", "argmax"]),
        ("task_options.target", "foveaa", ["foveaa"]),
        ("loss.msce.pool", "maks", ["maks", "max"]),
        # types
        ("seed", "abc", ["--config.seed='abc'", "takes int"]),
        ("seed", 1.5, ["--config.seed=1.5", "takes int"]),
        ("seed", "none", ["config.seed=None", "takes int"]),
        ("data.data_dir", "none", ["config.data.data_dir=None", "takes str"]),
        ("data.batch_size", 8.0, ["--config.data.batch_size=8.0", "takes int"]),
        ("data.batch_size", "true", ["--config.data.batch_size=True", "takes int"]),
        ("optimizer.learning_rate", "fast", ["learning_rate='fast'", "takes float"]),
        ("data.image_size", 32, ["--config.data.image_size=32", "takes tuple"]),
        ("log.tensorboard", "maybe", ["--config.log.tensorboard='maybe'", "takes bool"]),
        ("train.steps", "many", ["config.train.steps", "'many'"]),
        ("model.features", 4, ["--config.model.features=4", "takes tuple"]),
        ("loss.msce.weight", "heavy", ["--config.loss.msce.weight='heavy'"]),
        ("loss.msce.weight", "none", ["config.loss.msce.weight=None"]),
        ("schedule.warmup_percent", "none", ["config.schedule.warmup_percent=None"]),
        # ranges
        ("seed", -1, ["config.seed=-1"]),
        ("optimizer.learning_rate", -0.1, ["config.optimizer.learning_rate=-0.1", "above 0"]),
        ("optimizer.learning_rate", 0, ["config.optimizer.learning_rate=0.0", "above 0"]),
        ("optimizer.weight_decay", -1, ["config.optimizer.weight_decay=-1.0"]),
        ("schedule.warmup_percent", -5, ["config.schedule.warmup_percent=-5"]),
        ("schedule.warmup_percent", 101, ["config.schedule.warmup_percent=101"]),
        ("train.steps", 0, ["config.train.steps=0", "above 0"]),
        ("train.steps", -3, ["config.train.steps=-3", "above 0"]),
        ("train.steps", "none", ["config.train.steps", "no length"]),
        ("train.percent", 50, ["config.train.percent=50", "percentage"]),
        ("train.patience_epochs", -1, ["config.train.patience_epochs=-1"]),
        ("evaluate.every_epochs", 0, ["config.evaluate.every_epochs=0"]),
        ("checkpoint.every_steps", -1, ["config.checkpoint.every_steps=-1"]),
        ("checkpoint.keep", 0, ["config.checkpoint.keep=0"]),
        ("data.batch_size", 0, ["config.data.batch_size=0", "at least 1"]),
        ("data.batch_size", -8, ["config.data.batch_size=-8", "at least 1"]),
        ("data.batch_size", 12, ["config.data.batch_size=12", "8 devices", "multiple of 8"]),
        ("evaluate.batch_size", 4, ["config.evaluate.batch_size=4", "8 devices"]),
        ("evaluate.batch_size", 0, ["config.evaluate.batch_size=0"]),
        ("train.clip_norm", -1, ["config.train.clip_norm=-1"]),
        ("train.clip_norm", "tight", ["config.train.clip_norm='tight'"]),
        ("data.augment.noise", -0.1, ["config.data.augment.noise=-0.1"]),
        ("loss.msce.weight", -1, ["config.loss.msce.weight=-1.0"]),
        ("log.profile_steps", -1, ["config.log.profile_steps=-1"]),
        ("data.image_size", "(32,)", ["config.data.image_size=(32,)"]),
        ("data.image_size", "(0, 32)", ["config.data.image_size=(0, 32)"]),
        ("data.image_size", "(32, -1)", ["config.data.image_size=(32, -1)"]),
        ("data.image_size", "(32, 3.5)", ["config.data.image_size=(32, 3.5)"]),
        ("data.image_size", "('a', 'b')", ["config.data.image_size=('a', 'b')"]),
        ("model.features", "()", ["features"]),
        ("model.features", "(-8,)", ["features"]),
        ("model.features", "(0,)", ["features"]),
        ("model.features", "('a', 8)", ["features"]),
        ("model.features", "none", ["features"]),
        ("model.outputs", 0, ["outputs"]),
        ("loss.msce.scales", 9, ["scales", "9"]),
        ("loss.msce.scales", 0, ["scales", "0"]),
        ("loss.msce.scales", "all", ["scales", "'all'"]),
        ("loss.msce.scale_weights", "(1, 2)", ["scale_weights"]),
    ],
)  # fmt: skip
def test_values(refuses, data_dir, path, value, names):
    words = runs.words("run", data_dir) + [f"--config.{path}={value}"]
    refuses(*words, names=names)


def test_scales_that_do_not_divide_the_image(refuses, data_dir):
    settings = {"data__image_size": "(36, 36)", "loss__msce__scales": 4}
    refuses(*runs.words("run", data_dir, **settings), names=["scales", "36"])


def test_an_override_of_a_duration_replaces_the_files(refuses, data_dir):
    words = runs.words("run", data_dir, seed=-1)  # wrong later on, so that nothing is trained
    errors = refuses(*words, "--config.train.epochs=1", names=["config.seed=-1"])
    assert "both set" not in errors


OWN = """
import jax.numpy as jnp
def mean(heatmap, points):
    return jnp.mean(heatmap)
def pixels(heatmap, points):
    return heatmap
def indices(heatmap, points):
    return jnp.argmax(heatmap.reshape(len(heatmap), -1), axis=-1)
def pair(heatmap, points):
    return heatmap.mean((1, 2)), points
"""


@pytest.mark.parametrize(
    "loss, got",
    [
        ("mean", "float32[]"),
        ("pixels", "float32[2, 32, 32]"),
        ("indices", "int32[2]"),
        ("pair", "tuple"),
    ],
)
def test_a_loss_that_gives_no_number_an_image(refuses, data_dir, tmp_path, loss, got):
    """A mean over the batch, as in PyTorch, would count padding in evaluation."""
    (tmp_path / "own.py").write_text(OWN)
    # The demo's loss has options that these functions lack: the term is written anew.
    (tmp_path / "mine.py").write_text(
        HEAD + f"    config.loss = {{'own': {{'name': 'own:{loss}', 'weight': 1.0}}}}\n"
        "    return config\n"
    )
    words = runs.words("run", data_dir)
    words[words.index("--config") + 1] = "mine.py"
    refuses(*words, names=["config.loss.own: own:", "one number an image", f"got {got}"])


def test_a_loss_without_arrays(refuses, data_dir, tmp_path):
    (tmp_path / "own.py").write_text("def constant(*, value=1.0):\n    return value\n")
    (tmp_path / "mine.py").write_text(
        HEAD + "    config.loss = {'own': {'name': 'own:constant', 'weight': 1.0}}\n"
        "    return config\n"
    )
    words = runs.words("run", data_dir)
    words[words.index("--config") + 1] = "mine.py"
    refuses(*words, names=["config.loss.own.name='own:constant': takes no array by position"])


MODELS = """
import flax.linen as nn
class NoField(nn.Module):
    features: tuple = (4,)
    outputs: int = 1
    style: bool = True
    momentum: float = 0.95
    @nn.compact
    def __call__(self, image, *, train):
        return {"logits": nn.Dense(1)(image)}
class Statistics(NoField):
    @nn.compact
    def __call__(self, image, *, train):
        return {"logits": nn.BatchNorm(use_running_average=not train)(nn.Dense(1)(image))}
class NoDict(NoField):
    dtype: object = None
    axis_name: object = None
    @nn.compact
    def __call__(self, image, *, train):
        return nn.Dense(1)(image)
"""


@pytest.mark.parametrize(
    "model, settings, part",
    [
        (
            "NoField",
            {"dtype": "bfloat16"},
            "config.dtype='bfloat16': mymodels:NoField has no field",
        ),
        ("Statistics", {"parallel": "pmap"}, "config.parallel='pmap': Statistics has batch stat"),
        ("NoDict", {}, "'logits'"),
    ],
)
def test_a_model_that_is_no_model_of_segjax(refuses, data_dir, tmp_path, model, settings, part):
    (tmp_path / "mymodels.py").write_text(MODELS)
    words = runs.words("run", data_dir, model__name=f"mymodels:{model}", **settings)
    refuses(*words, names=["config.", part])
