"""What a folder is taken for: fresh, another's, done."""

import json

import pytest

from segjax.train import workdir

OLD = {"evaluated": 8, "best_value": 0.5, "best_step": 6, "stopped_early": False}
NEW = OLD | {"table": 6}


@pytest.mark.parametrize(
    "done, table, report, expected",
    [
        (NEW, 6, True, True),
        (NEW, None, True, False),  # the table was deleted
        (None, 6, True, False),  # evaluated by someone, before the run did
        (NEW, 8, True, False),  # someone evaluated the latest checkpoint since
        (OLD, 6, True, True),  # a version before wrote done.json when training ended
        (OLD, None, False, False),  # such a run, killed before it was evaluated
        (OLD, 6, False, False),  # and evaluated by someone
        (OLD, 8, True, False),
        (OLD | {"best_step": -1}, 8, True, True),
        ("", 6, True, False),  # damaged
    ],
)
def test_a_run_is_done_when_it_wrote_its_own_table(tmp_path, done, table, report, expected):
    if done is not None:
        (tmp_path / "done.json").write_text(json.dumps(done) if done else "\0\0")
    if table is not None:
        (tmp_path / "metrics_validation.json").write_text(json.dumps({"step": table}))
    if report:
        (tmp_path / "report.md").touch()
    assert workdir.is_done(tmp_path) is expected


def test_what_a_killed_run_leaves_does_not_occupy_a_folder(tmp_path):
    (tmp_path / workdir.HOLDER).touch()
    (tmp_path / ".config.json.x1b2").touch()  # `files.write_text`, killed
    (tmp_path / ".segjax-x1b2").mkdir()  # another process of the job, which looks at the same time
    assert workdir.is_fresh(tmp_path, workdir.CONFIG)
    (tmp_path / ".git").mkdir()
    assert not workdir.is_fresh(tmp_path, workdir.CONFIG)
