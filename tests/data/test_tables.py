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


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_unicode_with_a_byte_order_mark_is_read(tmp_path, encoding, separator):
    lines = ["ImgName,X- Coordinate,Y - Coordinate,Remark", "g1.jpg,4.5,5,fu\u00df"]
    text = "\r\n".join(lines).replace(",", separator)
    mark = "" if encoding in ("utf-8-sig", "utf-16") else "\ufeff"
    path = tmp_path / "t.csv"
    path.write_bytes((mark + text).encode(encoding))
    assert read_table(path, POINT | {"note": ("Remark",)}) == [
        {"row": 2, "name": "g1.jpg", "x": "4.5", "y": "5", "note": "fu\u00df"}
    ]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32"])
def test_other_unicode_is_refused(tmp_path, encoding):
    path = tmp_path / "t.csv"
    path.write_bytes("ImgName,X- Coordinate,Y - Coordinate\ng1,4,5\n".encode(encoding))
    with pytest.raises(UserError, match="t.csv: .*(save it as UTF-8|no readable)"):
        read_table(path, POINT)


@pytest.mark.parametrize(
    "row, number",
    [("a,12,5,7,5", "7"), ("a,12,7,5", "5"), ("a,1,2,,,3.5", "3.5"), ("a,1,2,seen, 4 ", " 4 ")],
)
@pytest.mark.parametrize("header", ["Image No,X- Coordinate,Y - Coordinate", "{},,,", "{}, ,"])
def test_a_number_beyond_the_headers_is_named(tmp_path, header, row, number):
    """Decimal commas without quotes: 12,5 and 7,5 would be read as x = 12 and y = 5."""
    path = tmp_path / "t.csv"
    path.write_text(header.format("Image No,X- Coordinate,Y - Coordinate") + "\n\n" + row + "\n")
    with pytest.raises(UserError) as caught:
        read_table(path, POINT)
    assert str(caught.value).startswith(f"{path}, row 3: the number {number} stands beyond the")


def test_remarks_and_an_index_before_the_headers_are_taken(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(
        ",Image No,X- Coordinate,Y - Coordinate,Age\n"
        "0,a,12.5,7.5,63,checked twice\n1,b,1e1,2,70,,12 seen\n"
    )
    rows = read_table(path, POINT)
    assert [(row["x"], row["y"]) for row in rows] == [("12.5", "7.5"), ("1e1", "2")]
    book = _write(tmp_path / "t.xlsx", [["Image No", "X", "Y"], ["a", 1, 2, None, 3]])
    with pytest.raises(UserError, match=r"t.xlsx, row 2: the number 3 stands beyond"):
        read_table(book, POINT | {"x": ("X",), "y": ("Y",)})


def test_two_columns_of_one_name_are_refused(tmp_path):
    path = _write(tmp_path / "t.csv", [["Image No", "x", "Y", "X "], ["a", 1, 2, 3]])
    columns = {"name": ("Image No",), "x": ("X",), "y": ("Y",)}
    with pytest.raises(UserError, match="t.csv: two columns are headed 'x'"):
        read_table(path, columns)


def test_a_formula_without_its_result_is_shown(tmp_path):
    path = _write(
        tmp_path / "t.xlsx", [["Image No", "X- Coordinate", "Y - Coordinate"], ["a", "=1+2", 4]]
    )
    (row,) = read_table(path, POINT)
    with pytest.raises(UserError, match=r"row 2 \(a\): x is '=1\+2', not a number"):
        parse_point(path, row, (40, 24))


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


def test_a_bad_point_is_named_by_its_own_columns():
    row = {"row": 3, "name": "a", "disc_x": 4, "disc_y": 90}
    with pytest.raises(UserError, match=r"t.csv, row 3 \(a\): disc_y is 90, outside its image"):
        parse_point("t.csv", row, (40, 24), ("disc_x", "disc_y"))


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
        ("1_0", 1, "x is '1_0', not a number"),
        ("\u0661", 1, "x is '\u0661', not a number"),
        (True, 1, "x is True, not a number"),
        ("4,5", 1, "x is '4,5', not a number"),
        ("=A1+1", 1, "x is '=A1.1', not a number"),
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
