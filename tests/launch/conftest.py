"""What the tests of reports share."""

import pytest

from segjax.launch.report import sweep


@pytest.fixture
def no_pictures(monkeypatch):
    """Figures are drawn but not rendered, which takes most of the time."""
    monkeypatch.setattr(sweep.files, "write_figure", lambda path, figure: None)
