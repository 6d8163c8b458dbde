"""Every notebook is executed, cell by cell, and shows what it promises."""

import ast
import base64
import pathlib
import re

import jupytext
import pytest
from nbclient import NotebookClient

ROOT = pathlib.Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))
# A notebook imports its logic; besides, it may compute with arrays.
LIBRARIES = {"jax", "numpy", "segjax"}
# What trains for minutes does so under the mark `slow`, and shortly elsewhere.
SHORTER = {
    "06_guidance": {
        "range(200)": "range(40)",
        "range(1000, 1060)": "range(1000, 1020)",
        "steps=200": "steps=2",
    },
    "07_two_stages": {
        "range(24)": "range(6)",
        "steps=240, period=60": "steps=2, period=1",
        "steps=240": "steps=2",
        "most=9000": "most=200",
    },
}


def outputs_of(notebook, kind):
    """The texts of one kind of output (a MIME type, or a stream's name), in order."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.output_type == "stream" and output.name == kind:
                found.append(output.text)
            elif kind in output.get("data", {}):
                found.append(output.data[kind])
    return found


def shortened(path):
    """The text of a notebook with what `SHORTER` has in place of longer settings."""
    text = path.read_text()
    for long, short in SHORTER.get(path.stem, {}).items():
        assert long in text
        text = text.replace(long, short)
    return text


@pytest.mark.filterwarnings("default")  # of Jupyter's own libraries
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    check_that_it_runs(shortened(path), tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", SHORTER)
def test_a_notebook_runs_as_written(name, tmp_path, monkeypatch):
    check_that_it_runs((ROOT / "notebooks" / f"{name}.py").read_text(), tmp_path, monkeypatch)


def check_that_it_runs(text, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTHONWARNINGS", "error:::__main__")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    here = tmp_path / "here"
    here.mkdir()
    notebook = jupytext.reads(text, fmt="py:percent")
    resources = {"metadata": {"path": str(here)}}
    NotebookClient(notebook, timeout=240, kernel_name="python3", resources=resources).execute()
    assert not outputs_of(notebook, "stderr")
    pictures = outputs_of(notebook, "image/png")
    captions = re.findall(r"^# \*Figure \d+\.", text, flags=re.MULTILINE)
    assert len(pictures) == len(captions) >= 2
    assert all(len(base64.b64decode(picture)) > 5000 for picture in pictures)
    assert not list(here.iterdir())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_holds_no_logic_of_its_own(path):
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        assert not isinstance(node, (ast.FunctionDef, ast.ClassDef)), "put it into segjax"
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= LIBRARIES
        if isinstance(node, ast.ImportFrom):
            assert node.module.split(".")[0] in LIBRARIES


def test_captions_are_numbered_from_one():
    assert len(NOTEBOOKS) == 7
    for path in NOTEBOOKS:
        numbers = re.findall(r"^# \*Figure (\d+)\.", path.read_text(), flags=re.MULTILINE)
        assert numbers == [str(1 + index) for index in range(len(numbers))]
