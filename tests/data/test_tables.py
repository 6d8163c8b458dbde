import numpy as np
import openpyxl
import pytest

from segjax.data.tables import parse_class, parse_point, read_table, rows_by_name
from segjax.errors import UserError

POINT = {"name": ("Image No", "ImgName"), "x": ("X- Coordinate",), "y": ("Y - Coordinate",)}


def _write(path, rows):
    if path.suffix == ".csv":
        path.write_text(
            "".join(",".join("" if c is None else str(c) for c in r) + "\n" for r in rows)
        )
    else:
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append(row)
        book.save(path)
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.xlsx"])
def test_columns_are_found_by_name_and_rows_keep_their_number(tmp_path, name):
    path = _write(
        tmp_path / name,
        [
            ["remark", " y-coordinate ", "IMAGE NO", "X Coordinate", None, None],
            ["", 7.5, " IDRiD_001 ", 3, None, None],
            [None, " ", None, None, None, None],
            ["b", 9, "IDRiD_002", None, None, None],
            [None, None, None, None, None, None],
        ],
    )
    rows = read_table(path, POINT)
    assert [row["row"] for row in rows] == [2, 4]
    assert [row["name"] for row in rows] == ["IDRiD_001", "IDRiD_002"]
    assert set(rows[0]) == {"row", "name", "x", "y"}
    assert float(rows[0]["x"]) == 3
    assert float(rows[0]["y"]) == 7.5
    assert rows[1]["x"] is None


def test_byte_order_mark_semicolons_and_short_rows(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(
        b"\xef\xbb\xbfImgName;X- Coordinate;Y - Coordinate\r\ng1.jpg;4;5\r\ng2.jpg\r\n"
    )
    rows = read_table(path, POINT)
    assert rows[0] == {"row": 2, "name": "g1.jpg", "x": "4", "y": "5"}
    assert rows[1] == {"row": 3, "name": "g2.jpg", "x": None, "y": None}


def test_a_missing_column_names_file_wanted_and_found(tmp_path):
    path = _write(tmp_path / "t.csv", [["Image No", "Y - Coordinate"], ["a", 1]])
    with pytest.raises(UserError, match="X- Coordinate") as caught:
        read_table(path, POINT)
    for part in (str(path), "'Image No'", "'Y - Coordinate'"):
        assert part in str(caught.value)
    assert read_table(path, POINT, optional=("x",))[0]["x"] is None


def test_unreadable_tables_are_named(tmp_path):
    (tmp_path / "old.xls").write_bytes(b"\xd0\xcf\x11\xe0")
    (tmp_path / "broken.xlsx").write_bytes(b"PK no archive")
    (tmp_path / "blank.csv").write_text(",,\n,,\n")
    for name, why in [
        ("old.xls", "save it as .xlsx or .csv"),
        ("broken.xlsx", "no readable .xlsx table"),
        ("blank.csv", "the table is empty"),
        ("gone.csv", "no such table"),
        ("t.txt", "tables are .csv or .xlsx files"),
    ]:
        with pytest.raises(UserError, match=why) as caught:
            read_table(tmp_path / name, POINT)
        assert name in str(caught.value)


def test_rows_by_name_ignores_case_and_extension_and_refuses_doubles():
    rows = [{"row": 2, "name": "G1.jpg"}, {"row": 3, "name": None}, {"row": 4, "name": "g2"}]
    assert {name: row["row"] for name, row in rows_by_name("t.csv", rows).items()} == {
        "g1": 2,
        "g2": 4,
    }
    with pytest.raises(UserError, match="row 5: g1.JPG already stands in row 2"):
        rows_by_name("t.csv", [*rows, {"row": 5, "name": "g1.JPG"}])


def test_points_lie_inside_their_image_edges_included():
    for x, y in [(0, 0), ("40", "24.0"), (1.25, 3)]:
        point = parse_point("t.csv", {"row": 2, "name": "a", "x": x, "y": y}, (40, 24))
        assert point.dtype == np.float32
        np.testing.assert_array_equal(point, [float(x), float(y)])


@pytest.mark.parametrize(
    ("x", "y", "why"),
    [
        ("left", 1, "x is 'left', not a number"),
        (None, 1, "x is empty, not a number"),
        (1, "nan", "y is 'nan', not a number"),
        (1, float("nan"), "y is nan, not a number"),
        (40.5, 1, "x is 40.5, outside"),
        (1, "24.01", "y is 24.01, outside"),
        (-0.5, 1, "x is -0.5, outside"),
        ("inf", 1, "x is inf, outside"),
    ],
)
def test_bad_points_name_file_row_value_and_size(x, y, why):
    with pytest.raises(UserError, match=why) as caught:
        parse_point("some/t.csv", {"row": 17, "name": "a_1", "x": x, "y": y}, (40, 24))
    for part in ("some/t.csv", "row 17", "a_1", "40x24"):
        assert part in str(caught.value)


def test_classes_are_whole_numbers_in_range():
    for value in (2, "2", "2.0", 2.0):
        assert parse_class("t.csv", {"row": 2, "name": "a", "grade": value}, "grade", 3) == 2
    for value in (3, -1, 1.5, "high", None, "nan", "inf"):
        with pytest.raises(UserError, match=r"row 2 \(a\): grade is .* from 0 to 2"):
            parse_class("t.csv", {"row": 2, "name": "a", "grade": value}, "grade", 3)
