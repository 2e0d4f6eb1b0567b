import time
from pathlib import Path

import pytest

from pentad_tools.builtin import csv_table
from pentad_tools.builtin.csv_files import csv_describe, csv_query
from pentad_tools.builtin.csv_table import Type, open_table
from pentad_tools.tool import ArgumentInvalid, ToolContext, ToolFailed


def types(folder: Path, text: str) -> dict[str, Type]:
    (folder / "t.csv").write_text(text)
    with open_table(folder, "t.csv") as table:
        return {column.name: column.type for column in table.columns}


def test_columns_have_the_type_of_all_their_cells(tmp_path: Path) -> None:
    found = types(
        tmp_path,
        "whole,real,zip,id,mixed,empty,date\n"
        "1,1.50,00123,1234567890123456,1,,2026-11-20\n"
        "-2,3,10115,2,n/a,,2026-11-21\n"
        ",,,,,,\n",
    )

    assert found == {
        "whole": "integer",
        "real": "number",
        "zip": "text",
        "id": "text",
        "mixed": "text",
        "empty": "text",
        "date": "text",
    }


@pytest.mark.parametrize(
    "cell", ["1e5", "+1", "1,000", "0x1", "٣", "1.", ".5", "--1", "NaN", "inf", "1_000", "²"]
)
def test_what_only_looks_like_a_number_is_text(tmp_path: Path, cell: str) -> None:
    assert types(tmp_path, f'a\n"{cell}"\n') == {"a": "text"}


@pytest.mark.parametrize("text", ["a;b\n1;2\n", "a\tb\n1\t2\n", "\ufeffa,b\r\n1,2\r\n"])
def test_other_ways_to_write_csv(tmp_path: Path, text: str) -> None:
    assert types(tmp_path, text) == {"a": "integer", "b": "integer"}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "must name the columns"),
        (b"a,a\n", "must name the columns"),
        (b"a,\n", "must name the columns"),
        (b"a,b\n1\n", "row 1 has 1 cells, the header 2"),
        (b"a\n1,2\n", "row 1 has 2 cells, the header 1"),
        (b"a\n\xff\n", "not in UTF-8"),
        (b'a\n"x"y\n', "not proper CSV"),
        (b'a\n"x', "not proper CSV"),
        (b"a\n" + b"x" * 200_000, "not proper CSV"),
        (b",".join(b"%d" % n for n in range(501)), "at most 500"),
    ],
)
def test_a_file_that_is_no_table_says_why(context: ToolContext, data: bytes, why: str) -> None:
    (context.data_dir / "t.csv").write_bytes(data)

    with pytest.raises(ToolFailed, match=why):
        csv_query("t.csv", context)


def test_bounds(context: ToolContext, monkeypatch: pytest.MonkeyPatch) -> None:
    (context.data_dir / "t.csv").write_text("a\n1\n2\n3\n")
    monkeypatch.setattr(csv_table, "ROWS_MAX", 2)
    with pytest.raises(ToolFailed, match="more than 2 rows"):
        csv_query("t.csv", context)
    monkeypatch.setattr(csv_table, "FILE_BYTES_MAX", 5)
    with pytest.raises(ToolFailed, match="more than 5 bytes"):
        csv_describe("t.csv", context)


def test_a_missing_file_names_those_there_are(context: ToolContext) -> None:
    (context.data_dir / "there.csv").touch()

    with pytest.raises(ArgumentInvalid, match=r"^file: .*there are: there.csv$"):
        csv_query("none.csv", context)


@pytest.mark.parametrize("name", ["../t.csv", "/etc/t.csv", "out.csv"])
def test_no_file_outside_the_folder_is_read(context: ToolContext, name: str) -> None:
    (context.data_dir.parent / "t.csv").write_text("secret\n1\n")
    (context.data_dir / "out.csv").symlink_to(context.data_dir.parent / "t.csv")

    with pytest.raises(ArgumentInvalid, match=r"^file: is outside the data folder$"):
        csv_query(name, context)


def test_only_csv_files_are_read(context: ToolContext) -> None:
    (context.data_dir / "key.pem").write_text("secret\n1\n")

    with pytest.raises(ArgumentInvalid, match="csv"):
        csv_query("key.pem", context)


def test_a_table_is_described(context: ToolContext) -> None:
    rows = "".join(f"{n},{'low' if n % 2 else 'high'},{n / 4}\n" for n in range(20))
    (context.data_dir / "t.csv").write_text("id,level,price\n" + rows + ",,\n")

    described = csv_describe("t.csv", context)

    assert described.row_count == 21
    identity, level, price = described.columns
    assert (identity.type, identity.min, identity.max, identity.values) == ("integer", 0, 19, None)
    assert (level.type, level.empty, level.values) == ("text", 1, ["high", "low"])
    assert (price.type, price.min, price.max) == ("number", 0, 4.75)


def test_a_table_without_rows_is_described(context: ToolContext) -> None:
    (context.data_dir / "t.csv").write_text("a\n")

    (column,) = csv_describe("t.csv", context).columns

    assert (column.min, column.max, column.values, column.empty) == (None, None, None, 0)


def test_the_largest_table_takes_a_bounded_time(context: ToolContext) -> None:
    rows = "".join(f"{n},name {n % 100},{n / 7:.2f}\n" for n in range(csv_table.ROWS_MAX))
    (context.data_dir / "t.csv").write_text("id,name,price\n" + rows)

    began = time.process_time()
    csv_describe("t.csv", context)

    assert time.process_time() - began < csv_describe.timeout_s / 2
