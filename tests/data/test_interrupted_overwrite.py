"""`--overwrite` that is killed between its two renames: the set that was there comes back."""

import os
import shutil
import signal
import subprocess
import sys

import pytest

from segjax import cli
from segjax.data import array_files, digest, inventory, staging, store, tidy
from tests.data import test_idrid
from tests.data.folders.settings import mask, picture
from tests.data.test_inventory import cached

GRADING = "idrid/grading"
# The old set is aside then, and the new one not at its place
KILLED = """
import os, signal, sys
from segjax import cli
from segjax.data import store

store._put = lambda *unused: os.kill(os.getpid(), signal.SIGKILL)
cli.main(sys.argv[1:])
"""


class Source:
    """A folder of a user's, or an official download, with the set that was made of it."""

    def __init__(self, folder, name):
        self.data, self.name = folder / "data", name
        self.folder = folder
        if name == "mine":
            for n in range(5):
                picture(folder / "images" / f"{n}.png", seed=n)
                mask(folder / "masks" / f"{n}.png")
            given = ["folder", "--images", folder / "images", "--masks", folder / "masks"]
            given += ["--name", name]
        else:
            test_idrid.MAKE["grading"](folder / "downloads", "train")
            given = [name, "--manual_dir", folder / "downloads"]
        self.words = ["data", "prepare", *map(str, given), "--data_dir", str(self.data)]
        assert cli.main(self.words) == 0

    @property
    def home(self):
        return self.data / self.name

    def change(self):
        photographs = sorted(self.folder.rglob("*.jpg"))
        picture(photographs[0] if photographs else self.folder / "images" / "3.png", seed=77)

    def digest(self):
        return digest.of(store.builder(self.name, str(self.data)))


@pytest.fixture(params=["mine", GRADING])
def killed(request, tmp_path):
    """A set, and what a killed preparation of its changed source has left of it."""
    source = Source(tmp_path, request.param)
    source.before = source.digest()
    source.cache = cached(source.data / array_files.FOLDER, source.before, 100)
    source.change()
    command = [sys.executable, "-c", KILLED, *source.words, "--overwrite"]
    assert subprocess.run(command, stdout=subprocess.DEVNULL).returncode == -signal.SIGKILL
    assert source.name not in inventory.prepared(source.data)
    return source


def test_the_next_preparation_puts_it_back_and_compares(killed, capfd):
    capfd.readouterr()
    assert cli.main(killed.words) == 2
    errors = capfd.readouterr().err
    place = killed.home / "1.0.0"
    assert f"{place}: put back, which a killed preparation had not replaced\n" in errors
    assert f"{place}: was prepared from something else" in errors
    assert killed.digest() == killed.before and killed.cache.is_dir()
    assert not staging.made_in(killed.home)
    assert cli.main([*killed.words, "--overwrite"]) == 0
    assert killed.digest() != killed.before and not killed.cache.is_dir()


def test_so_does_the_next_one_that_overwrites(killed, capfd):
    assert cli.main([*killed.words, "--overwrite"]) == 0
    assert "put back" in capfd.readouterr().err
    assert killed.digest() != killed.before and not staging.made_in(killed.home)


def test_where_its_source_is_gone_the_preparation_of_another_set_puts_it_back(killed, capfd):
    for name in ("images", "masks", "downloads"):
        shutil.rmtree(killed.folder / name, ignore_errors=True)
    words = ["data", "prepare", "synthetic_fundus/48px_1_1_1", "--data_dir", str(killed.data)]
    assert cli.main(words) == 0
    shown = capfd.readouterr().out
    put_back = f"put back {killed.home / '1.0.0'}, not replaced by them"
    assert f"tidied {killed.data}: removed 1 left by killed preparations; {put_back}\n" in shown
    assert killed.digest() == killed.before and killed.cache.is_dir()


def test_who_removes_it_removes_both(killed, capfd):
    assert cli.main(["data", "remove", killed.name, "--data_dir", str(killed.data)]) == 0
    assert f"removed {killed.home / '.making.1.0.0.'}" in capfd.readouterr().out
    assert not killed.home.exists() and tidy.tidy(str(killed.data)) is not None


# Right after one of the two renames, where no `try` of its caller has begun
INTERRUPTED = """
import os, signal, sys
from segjax import cli

rename = os.rename

def interrupted(before, after):
    rename(before, after)
    if str(after).endswith({name!r}):
        os.kill(os.getpid(), signal.{number})

os.rename = interrupted
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("name, is_old", [("/replaced", True), ("/data/mine/1.0.0", False)])
def test_an_interruption_right_after_a_rename_loses_no_set(tmp_path, number, name, is_old):
    source = Source(tmp_path, "mine")
    before = source.digest()
    source.change()
    command = [sys.executable, "-c", INTERRUPTED.format(name=name, number=number)]
    command += [*source.words, "--overwrite"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 1 and ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("segjax: interrupted;")
    assert (source.digest() == before) is is_old and not staging.made_in(source.home)


def aside(home):
    """A set aside in what a dead process of this machine has left."""
    home.mkdir(exist_ok=True)
    with staging.folder(home, "1.0.0") as living:
        left = living.with_name(living.name[:-8] + "k1lled00")
    (left / staging.REPLACED).mkdir(parents=True)
    (left / staging.REPLACED / "old").write_text("")
    return left


def test_a_new_set_is_not_put_back_upon(tmp_path):
    left = aside(tmp_path / "mine")
    (tmp_path / "mine" / "1.0.0").mkdir()
    assert staging.put_back(tmp_path / "mine") == [] and (left / staging.REPLACED).is_dir()


def test_a_living_process_keeps_what_it_has_set_aside(tmp_path):
    home = tmp_path
    with staging.folder(home, "1.0.0") as living:
        (living / staging.REPLACED).mkdir()
        assert staging.put_back(home) == [] and (living / staging.REPLACED).is_dir()


def test_another_machines_is_put_back_a_day_after_its_last_write(tmp_path):
    left = aside(tmp_path)
    left = left.rename(tmp_path / ".making.1.0.0.another-host.ab12_x3z")
    assert staging.put_back(tmp_path) == []
    for path in (left, *left.rglob("*")):
        os.utime(path, (0, 0))
    assert staging.put_back(tmp_path) == [tmp_path / "1.0.0"]
    assert (tmp_path / "1.0.0" / "old").is_file()
