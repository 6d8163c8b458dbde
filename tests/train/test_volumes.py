"""Training on volumes, from the data set to NIfTI predictions, on volumes that take seconds."""

import csv
import json
import pathlib

import jax
import nibabel
import numpy as np
import pytest

from segjax import cli
from segjax.config import files
from segjax.inference.open import load_trained
from segjax.tasks.volume_segmentation.data import open_cases
from segjax.tasks.volume_segmentation.evaluation import VolumeNetwork
from segjax.train import experiment, loop
from segjax.train.checkpoint import parameters_digest
from segjax.train.sweepdir import folder_of
from tests.train import runs

pytestmark = pytest.mark.pictures

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / "experiments" / "regionwise" / "demo.py")
SETTINGS = {
    "data.name": "synthetic_cardiac/48px_3_2_1",
    "data.image_size": "(32, 32)",
    "data.batch_size": 8,
    "model.features": "(4, 8)",
    "model.strides": "((1, 1), (2, 2))",
    "evaluate.batch_size": 8,
    "train.steps": 4,
    "log.every_steps": 1,
    "log.tensorboard": False,
}


def words(workdir, data_dir, arg="rrw", **more):
    chosen = SETTINGS | {"data.data_dir": data_dir}
    chosen |= {key.replace("__", "."): value for key, value in more.items()}
    flags = [f"--config.{key}={value}" for key, value in chosen.items()]
    return ["train", "--config", f"{CONFIG}:{arg}", "--workdir", str(workdir), *flags]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("volumes")


@pytest.fixture(scope="module")
def folder(data, tmp_path_factory, command_settings):
    """A folder trained for a few steps."""
    folder = tmp_path_factory.mktemp("runs") / "rrw"
    assert cli.main(words(folder, data)) == 0
    return folder


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_its_files(folder):
    metrics = json.loads((folder / "metrics_validation.json").read_text())
    assert metrics["count"] == 4  # two patients, two phases
    names = {"dice", *(f"{w}/{c}" for w in ("dice", "hausdorff", "missing") for c in ("RV", "LV"))}
    assert names <= set(metrics["metrics"])
    rows = table(folder / "predictions_validation.csv")
    assert [set(row) for row in rows] == [set(rows[0])] * 4
    assert {row["image"].rpartition("_")[2] for row in rows} == {"ED", "ES"}
    dice = np.mean([float(row["mean_dice"]) for row in rows])
    assert dice == pytest.approx(metrics["metrics"]["dice"], rel=1e-4)
    for name in ("learning_curves", "cases_validation"):
        assert (folder / "figures" / f"{name}.png").stat().st_size > 10_000
    assert "hausdorff/RV" in (folder / "report.md").read_text()


def test_the_loss_falls(folder):
    losses = runs.logged(folder, "train", "loss")
    assert sorted(losses) == [1, 2, 3, 4] and np.all(np.isfinite(list(losses.values())))


def test_resident_and_streamed_train_alike(folder, data, tmp_path, command_settings):
    assert cli.main(words(tmp_path / "run", data, data__resident="no")) == 0
    one, two = (load_trained(path, "latest").state.params for path in (folder, tmp_path / "run"))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


def test_a_stopped_run_goes_on_exactly(folder, data, tmp_path, monkeypatch, command_settings):
    stopped = tmp_path / "stopped"
    command = words(stopped, data)
    with monkeypatch.context() as patch:
        patch.setattr(loop.Stop, "at", lambda self, step: step == 2)
        assert cli.main(command) == 1
    assert list(runs.logged(stopped, "train", "loss")) == [1, 2]
    assert cli.main(command) == 0
    states = [load_trained(path, "latest").state for path in (folder, stopped)]
    assert parameters_digest(states[0]) == parameters_digest(states[1])
    for name in ("loss", "gradient_norm"):
        assert runs.logged(folder, "train", name) == runs.logged(stopped, "train", name)


def test_evaluation_is_of_whole_volumes_in_millimetres(folder, command_settings):
    trained = load_trained(folder)
    case, labels = first_case(trained)
    assert labels.shape == case.stored_labels.shape
    table = final_table(trained)
    columns = {name: values[0] for name, values in table.items()}
    here, true = labels == 3, np.asarray(case.stored_labels) == 3
    if here.any():
        overlap = 2 * np.sum(here & true) / (here.sum() + true.sum())
        assert columns["dice_LV"] == pytest.approx(overlap)
        assert columns["hausdorff_LV"] == pytest.approx(
            brute_hausdorff(here, true, case.stored_spacing), rel=1e-6
        )
    volume = true.sum() * np.prod(case.stored_spacing) / 1000
    assert columns["true_volume_LV"] == pytest.approx(volume)


def first_case(trained):
    """The first validation case, and its labels in the grid of the data set."""
    made = trained.experiment
    case = open_cases(made, "validation")[0]
    network = VolumeNetwork(made, trained.devices)
    network.place(trained.state)
    return case, network.labels(case.image, case.geometry)


def final_table(trained, made=None):
    """The columns of the final evaluation on the validation split."""
    made = made or trained.experiment
    evaluator = made.task.evaluator(made, "validation", trained.devices)
    return evaluator(trained.state, final=True).columns


def brute_hausdorff(a, b, spacing):
    """From every boundary voxel to every other, float64."""
    from scipy import ndimage

    points = []
    for mask in (a, b):
        cross = ndimage.generate_binary_structure(3, 1)
        inner = ndimage.binary_erosion(mask, cross, border_value=0)
        points.append(np.argwhere(mask & ~inner) * np.asarray(spacing, np.float64))
    far = np.sqrt(((points[0][:, None] - points[1][None]) ** 2).sum(-1))
    return max(far.min(axis=0).max(), far.min(axis=1).max())


def test_mirroring_and_the_largest_component_change_the_final_table(folder, data, command_settings):
    trained = load_trained(folder)
    found = {}
    for name, options in {
        "plain": {},
        "mirrored": {"mirror": True},
        "largest": {"largest_component": True},
    }.items():
        config = files.from_json(folder / "config.json").copy_and_resolve_references()
        config.unlock()
        config.task_options.update(options)
        made = experiment.build(config.lock(), devices=8)
        columns = final_table(trained, made)
        found[name] = np.stack([columns[f"volume_{c}"] for c in made.task.classes])
    assert not np.array_equal(found["plain"], found["mirrored"])
    assert np.all(found["largest"] <= found["plain"]) and np.any(found["largest"] < found["plain"])


def test_volumes_are_evaluated_on_as_many_devices_as_divide_the_batch(
    folder, tmp_path, capsys, command_settings
):
    copy = runs.copied(folder, tmp_path, data__batch_size=3, evaluate__batch_size=6)
    assert cli.main(["evaluate", "--workdir", str(copy)]) == 0
    errors = capsys.readouterr().err
    assert errors == "segjax: config.evaluate.batch_size=6: runs on 6 of the 8 devices\n"
    found, wanted = (
        json.loads((path / "metrics_validation.json").read_text())["metrics"]
        for path in (copy, folder)
    )
    assert found == pytest.approx(wanted, rel=1e-4, nan_ok=True)


@pytest.mark.slow
def test_a_population_of_volumes_is_its_single_runs(folder, data, tmp_path, command_settings):
    experiment = tmp_path / "seeds.py"
    experiment.write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from experiments.regionwise.demo import get_config\n"
        "def sweep():\n    return [{'seed': 0}, {'seed': 1}]\n"
    )
    flags = [word for word in words("", data) if word.startswith("--config.")]
    command = ["sweep", "--config", str(experiment), "--workdir", str(tmp_path / "sweep")]
    assert cli.main([*command, "--engine", "population", *flags]) == 0
    member = folder_of(tmp_path / "sweep", {"seed": 0})
    one, two = (load_trained(path, "latest").state.params for path in (folder, member))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    report = (tmp_path / "sweep" / "report.md").read_text()
    assert "HD RV" in report and (tmp_path / "sweep" / "report.tex").exists()


def test_the_loss_around_trained_parameters(folder, tmp_path, command_settings):
    picture = tmp_path / "around.png"
    command = ["landscape", "parameters", "--workdir", str(folder), "--output", str(picture)]
    assert cli.main([*command, "--points=3", "--examples=2", "--eigenvalues=1"]) == 0
    assert picture.stat().st_size > 10_000


@pytest.fixture(scope="module")
def nifti(tmp_path_factory):
    """Two volumes of a person's own, one of them anisotropic with an oblique affine."""
    generator = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("own")
    oblique = np.array([[1.4, 0.1, 0, 5], [-0.1, 1.4, 0, -3], [0, 0, 9, 2], [0, 0, 0, 1.0]])
    for name, shape, affine in (
        ("plain", (40, 44, 5), np.diag([1.5, 1.5, 10, 1])),
        ("oblique", (37, 30, 4), oblique),
        ("voxel", (1, 1, 1), np.eye(4)),
    ):
        image = nibabel.Nifti1Image(generator.normal(100, 20, shape).astype(np.float32), affine)
        nibabel.save(image, folder / f"{name}.nii.gz")
    return folder


def test_predictions_have_the_place_of_their_volume(folder, nifti, tmp_path, command_settings):
    out = tmp_path / "out"
    command = ["predict", "--workdir", str(folder), "--input", str(nifti), "--output", str(out)]
    (nifti / "._plain.nii.gz").write_bytes(b"\0\5\26\7resource fork")
    for _ in range(2):  # its own earlier files give way
        assert cli.main(command) == 0
    for name in ("plain", "oblique", "voxel"):
        given = nibabel.load(nifti / f"{name}.nii.gz")
        made = nibabel.load(out / f"{name}.nii.gz")
        assert made.shape == given.shape
        np.testing.assert_allclose(made.affine, given.affine, atol=1e-5)
        assert set(np.unique(made.get_fdata())) <= {0, 1, 2, 3}
        assert (out / "overlays" / f"{name}.png").stat().st_size > 3000
    rows = {row["image"]: row for row in table(out / "predictions.csv")}
    labels = nibabel.load(out / "plain.nii.gz").get_fdata()
    wanted = np.sum(labels == 2) * 1.5 * 1.5 * 10 / 1000
    assert float(rows["plain"]["volume_M"]) == pytest.approx(wanted, rel=1e-4)


def test_a_prediction_equals_the_evaluation(folder, data, tmp_path, command_settings):
    """A case of the data set, written as a file, gets the labels that it got in the table."""
    from segjax.data import store

    trained = load_trained(folder)
    made = store.ensure_prepared(SETTINGS["data.name"], str(data))
    example = store.open_split(made, "validation")[0]
    image = nibabel.Nifti1Image(example["image"][..., 0].T, example["affine"])
    nibabel.save(image, tmp_path / "case.nii.gz")
    out = tmp_path / "out"
    command = ["predict", "--workdir", str(folder), "--output", str(out)]
    assert cli.main([*command, "--input", str(tmp_path / "case.nii.gz")]) == 0
    _, wanted = first_case(trained)
    found = nibabel.load(out / "case.nii.gz").get_fdata().T
    assert np.mean(found == wanted) > 0.999


def wrong(capsys, command, *parts):
    assert cli.main(command) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    for part in parts:
        assert part in lines[0], lines[0]


def test_wrong_volumes_to_predict(folder, nifti, tmp_path, capsys, command_settings):
    head = ["predict", "--workdir", str(folder), "--output", str(tmp_path / "out"), "--input"]
    text = tmp_path / "note.txt"
    text.write_text("no volume")
    wrong(capsys, [*head, str(text)], "note.txt", "takes volumes")
    wrong(capsys, [*head, str(tmp_path / "absent.nii.gz")], "absent.nii.gz", "no such file")
    empty = tmp_path / "empty"
    empty.mkdir()
    wrong(capsys, [*head, str(empty)], "no volume in this folder")
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes((nifti / "plain.nii.gz").read_bytes()[:5000])
    wrong(capsys, [*head, str(nifti / "oblique.nii.gz"), str(cut)], "cut.nii.gz")
    flat = tmp_path / "four.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4, 3), np.float32), np.eye(4)), flat)
    wrong(capsys, [*head, str(flat)], "four.nii.gz", "4x4x4x3")
    assert not (tmp_path / "out" / "oblique.nii.gz").exists()  # all are read before one is written


def test_wrong_volume_configs(data, tmp_path, capsys, command_settings):
    run = tmp_path / "run"
    wrong(capsys, words(run, data, data__name="synthetic_fundus"), "has no field 'labels'")
    wrong(capsys, words(run, data, task_options__volume_maps="('rectifed',)"), "rectified")
    wrong(capsys, words(run, data, model__classes=3), "3 outputs for 3 classes")
    wrong(capsys, words(run, data, data__augment__mirror=2.0), "mirror")
    wrong(capsys, words(run, data, arg="rw"), "rw")
    plan = tmp_path / "plan.json"
    plan.write_text("{}")
    wrong(capsys, words(run, data, arg=f"rrw,plan={plan}"), "plan.json")
    assert not run.exists()


SILENT = """
from segjax.models import PlainUNet
class Silent(PlainUNet):
    def __call__(self, image, *, train):
        outputs = super().__call__(image, train=train)
        return outputs if train else {}
"""


def test_a_model_that_fails_in_evaluation_alone(
    data, tmp_path, monkeypatch, capsys, command_settings
):
    """Volumes are evaluated by no step of training's: what fails there is found before it, too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "silent.py").write_text(SILENT)
    command = words(tmp_path / "run", data, model__name="silent:Silent")
    wrong(capsys, command, "config.model: silent:Silent", "a model returns a dict with 'logits'")
    assert not (tmp_path / "run").exists()


def test_a_plan_is_made_read_and_of_its_own_set_only(data, tmp_path, capsys, command_settings):
    name, path = SETTINGS["data.name"], tmp_path / "plan.json"
    head = ["plan", name, "--data_dir", str(data), "--output", str(path)]
    assert cli.main(head) == 0
    text = capsys.readouterr().out
    assert "patch" in text and f"wrote {path}" in text
    wrong(
        capsys,
        words(tmp_path / "run", data, arg=f"rrw,plan={path}"),
        f"is a plan of {name}",
    )
    wrong(capsys, ["plan", "acdc", "--data_dir", str(data)], "not prepared")
    wrong(capsys, ["plan", "synthetic_fundus/48px_2_2_2", "--data_dir", str(data)], "volumes")
