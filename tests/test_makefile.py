"""The Makefile's environments, and the empty one that CI runs the tests in."""

import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]


def dry_run(*words):
    """The commands that `make test` would run where nothing is installed."""
    made = subprocess.run(
        ["make", "--dry-run", "--always-make", "test", *words],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    return made.stdout.splitlines()


def test_make_test_installs_the_constraints_into_dot_venv():
    commands = dry_run()
    assert commands[0] == "python3 -m venv .venv"
    assert commands[1].startswith(".venv/bin/pip install ") and "-c constraints.txt" in commands[1]
    assert commands[-1].startswith(".venv/bin/pytest ")


def test_another_python_and_other_versions_have_environments_of_their_own():
    folders = set()
    for python, constraints in (
        ("python3", "constraints.txt"),
        ("python3.13", "constraints.txt"),
        ("python3.13", ""),
        ("python3", ""),
        ("/opt/a/bin/python", ""),
        ("/opt/b/bin/python", ""),
    ):
        commands = dry_run(f"PYTHON={python}", f"CONSTRAINTS={constraints}")
        head, folder = commands[0].rsplit(" ", 1)
        assert head == f"{python} -m venv"
        assert (" -c " in commands[1]) == bool(constraints)
        assert all(command.startswith(f"{folder}/bin/") for command in commands[3:])
        folders.add(folder)
    assert len(folders) == 6 and ".venv" in folders


@pytest.mark.skipif(shutil.which("bash") is None, reason="CI's script is one of bash")
def test_ci_runs_in_an_empty_environment(tmp_path):
    make = tmp_path / "make"
    make.write_text('#!/bin/sh\necho "make $*"\nls -A "$HOME" "$TMPDIR"\nenv\n')
    make.chmod(0o755)
    settings = tmp_path / "home" / ".config" / "pip"
    settings.mkdir(parents=True)
    (settings / "pip.conf").write_text("")
    given = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "HOME": str(tmp_path / "home"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "JAX_PLATFORMS": "cpu",
        "PIP_INDEX_URL": "https://index.invalid/two words",
        "https_proxy": "proxy.invalid",
        "PIP_CACHE_DIR": "/cache",
    }
    done = subprocess.run(
        ["bash", str(ROOT / ".ci" / "run")], env=given, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "make test" and ".config" in lines
    seen = dict(line.split("=", 1) for line in lines if "=" in line)
    assert seen["PIP_INDEX_URL"] == given["PIP_INDEX_URL"] and seen["https_proxy"]
    assert not {"PYTHONDONTWRITEBYTECODE", "JAX_PLATFORMS", "PIP_CACHE_DIR"} & seen.keys()
    assert seen["HOME"] != given["HOME"] and not pathlib.Path(seen["HOME"]).exists()
