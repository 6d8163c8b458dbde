"""Files that a run wrote, read again: whole, or named."""

import pytest

from segjax.errors import UserError
from segjax.train import report


@pytest.mark.parametrize(
    "content",
    [
        "image,x,y\na,1,2\n\n",
        "image,x,y\na,1\nb,1,2\n",
        "image,x,y\na,1,two\n",
        "",
        "image\0,x\n\0",
    ],
)
def test_a_damaged_table_is_named(tmp_path, content):
    path = tmp_path / "predictions_validation.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=f"{path}: cannot read it"):
        report.read_predictions(path)


@pytest.mark.parametrize("content", ["[]", "12", '{"split": "validation"}', "{", "\xff"])
def test_a_damaged_result_is_named(tmp_path, content):
    path = tmp_path / "metrics_validation.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=f"{path}: cannot read it"):
        report.read_json(path, *report.RESULT)


def test_the_answer_of_the_trivial_predictor(tmp_path):
    path = tmp_path / "trivial.json"
    assert report.read_answer(path) is None
    path.write_text("[1, 0.5]")
    assert report.read_answer(path) == [1, 0.5]
    for content in ("12", "{}", "[]", '["a"]', "[null]", "["):
        path.write_text(content)
        with pytest.raises(UserError, match=f"{path}: cannot read it"):
            report.read_answer(path)
