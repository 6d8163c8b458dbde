"""`refuses`: wrong input ends with status 2 and one line; nothing on disk has changed."""

import pytest

from segjax.cli import main


def snapshot(folder):
    """Every name below a folder with its size, time of change and content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        found[str(path)] = (status.st_size, status.st_mtime_ns, content)
    return found


@pytest.fixture
def refuses(tmp_path, monkeypatch, capfd):
    """Runs a command in an empty folder; it must be refused, naming `names`, and change nothing."""
    monkeypatch.chdir(tmp_path)

    def check(*words, names, untouched=()):
        watched = (tmp_path, *untouched)
        before = [snapshot(folder) for folder in watched]
        capfd.readouterr()
        status = main([str(word) for word in words])
        output, errors = capfd.readouterr()
        assert status == 2, errors
        assert output == ""
        assert errors.startswith("segjax: ") and errors.count("\n") == 1, errors
        assert "Traceback" not in errors
        for name in names:
            assert str(name) in errors
        assert [snapshot(folder) for folder in watched] == before
        return errors

    return check
