"""A work folder that is deleted while its run goes on."""

import shutil

import pytest

from segjax.cli import main
from segjax.report import run as report
from segjax.train import loop
from tests.train import runs

pytestmark = pytest.mark.usefixtures("command_settings")


@pytest.mark.parametrize("place, name", [(loop.Loop, "_log"), (report, "write")])
def test_a_work_folder_deleted_during_the_run(tmp_path, data_dir, monkeypatch, capfd, place, name):
    folder, usual = tmp_path / "run", getattr(place, name)

    def deleting(*arguments, **options):
        shutil.rmtree(folder)
        return usual(*arguments, **options)

    monkeypatch.setattr(place, name, deleting)
    assert main(runs.words(folder, data_dir, train__steps=1)) == 1
    output, errors = capfd.readouterr()
    last = errors.splitlines()[-1]
    assert last.startswith(f"segjax: {folder}: the work folder was deleted while it was in use")
    assert "Traceback" not in errors and output == ""
    assert not (folder / "done.json").exists()
