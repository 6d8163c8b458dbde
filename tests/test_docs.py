"""The reference says what the docstrings say, and the pages name what is there."""

import importlib.util
import pathlib
import re

from segjax import losses
from segjax.config import files
from segjax.launch import sweep
from segjax.train import experiment

DOCS = pathlib.Path(__file__).parents[1] / "docs"


def losses_table():
    spec = importlib.util.spec_from_file_location("losses_table", DOCS / "losses_table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_current():
    page = (DOCS / "losses.md").read_text()
    assert losses_table().updated(page) == page, "run `python docs/losses_table.py`"


def test_the_tree_and_the_table_name_every_loss():
    page = (DOCS / "losses.md").read_text().split("## Reference")[0]
    assert not [name for name in losses.__all__ if page.count(name) < 2]


def pages():
    return {path.name: path.read_text() for path in [DOCS.parent / "README.md", *DOCS.glob("*.md")]}


def test_what_the_pages_import_is_there():
    for page, text in pages().items():
        for module, names in re.findall(
            r"^from (segjax[\w.]*) import ([\w, ]+)", text, re.MULTILINE
        ):
            for name in names.split(", "):
                whole = f"{module}.{name}"
                there = hasattr(importlib.import_module(module), name)
                assert there or importlib.util.find_spec(whole), f"{page}: {whole}"


def test_the_files_that_the_pages_name_are_there():
    """But for `my_…`, which stands for a file of the reader's."""
    named = r"\b(?:segjax|experiments|tests|benchmarks|docs)/[\w/]+\.(?:py|md)\b"
    missing = [
        (page, name)
        for page, text in pages().items()
        for name in re.findall(named, text)
        if "my_" not in name and not (DOCS.parent / name).exists()
    ]
    assert not missing


def test_the_experiment_that_the_page_shows_builds_with_all_its_points(tmp_path, command_settings):
    code = re.search(r"```python\n(.*?)```", (DOCS / "experiments.md").read_text(), re.DOTALL)[1]
    (tmp_path / "my_experiment.py").write_text(code)
    text = f"{tmp_path / 'my_experiment.py'}:steps=20"
    points = sweep.load_points(text)
    assert len(points) == 6
    last = {key: value for key, value in points[-1].items() if key != "arg"}
    for overrides in ({}, last):
        made = experiment.check(files.load(text, overrides))
        assert made.total_steps == 20 and {term.name for term in made.terms} == {"dice", "boundary"}
