"""The reference in docs/losses.md says what the docstrings say."""

import importlib.util
import pathlib

from segjax import losses

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
