"""Work folders that an earlier version trained are evaluated, predicted with and gone on with."""

import json
import shutil
import tarfile

import jax
import pytest

from segjax.cli import main
from tests.earlier import folders

pytestmark = pytest.mark.usefixtures("command_settings")
# Other processors round otherwise, and the code of tests is not optimised. A Hausdorff distance
# hangs on single voxels.
NEAR, HAUSDORFF = 2e-3, 0.2


@pytest.fixture(scope="module")
def expected():
    return json.loads(folders.EXPECTED.read_text())


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(folders.ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    folders.inputs(folder)
    return folder


def segjax(*words):
    assert main([str(word) for word in words]) == 0


def close(found, wanted, name=""):
    """Equal but for rounding, in whatever nesting."""
    if isinstance(wanted, dict):
        assert set(found) == set(wanted), name
        for key in wanted:
            close(found[key], wanted[key], f"{name} {key}")
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), name
        for place, pair in enumerate(zip(found, wanted, strict=True)):
            close(*pair, f"{name} [{place}]")
    elif isinstance(wanted, float):
        near = HAUSDORFF if "hausdorff" in name else NEAR
        assert found == pytest.approx(wanted, rel=near, abs=near, nan_ok=True), name
    else:
        assert found == wanted, name


def test_they_are_evaluated_predicted_with_and_reported(unpacked, expected, tmp_path, monkeypatch):
    shutil.copytree(unpacked, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    close(folders.said_of(tmp_path / "here", segjax), expected)


def test_they_go_on_where_they_were(unpacked, expected, tmp_path, monkeypatch):
    shutil.copytree(unpacked, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    for work in folders.work_folders(tmp_path / "here"):
        folders.interrupt(work)
    with jax.default_device(jax.devices()[0]):
        for words in (folders.IMAGES, folders.VOLUMES, folders.SWEEP):
            segjax(*words)
    for work in folders.work_folders(tmp_path / "here"):
        name = str(work.relative_to(tmp_path / "here"))
        close(folders.logged(work), expected[name]["log"], name)
        metrics = json.loads((work / "metrics_validation.json").read_text())["metrics"]
        close(metrics, {k: v for k, v in expected[name]["metrics"].items() if "baseline" not in k})
