"""A CSV file as a table: bounded, streamed, each column with a type."""

import csv
import io
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, TypeAlias

from pentad_tools.builtin.folder import NoSuchFile, OutsideFolder, names_inside, open_inside
from pentad_tools.tool import ArgumentInvalid, ToolFailed

FILE_BYTES_MAX = 16 * 1024 * 1024
ROWS_MAX = 200_000
COLUMNS_MAX = 500

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
_DIGITS_MAX = 15
"""More digits make an identifier, not a quantity; and a float could not hold them."""

Cell: TypeAlias = Decimal | str | None
"""What a row holds; None where the file has nothing."""


class Type(StrEnum):
    """What all cells of a column are, as far as they are not empty."""

    INTEGER = "integer"
    NUMBER = "number"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    name: str
    type: Type

    @property
    def numeric(self) -> bool:
        """Whether its cells are numbers."""
        return self.type is not Type.TEXT


class Table:
    """An open file; its rows can be read again and again."""

    def __init__(self, file: BinaryIO) -> None:
        self._text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        header = next(self._lines(), [])
        names = [name.strip() for name in header]
        if not names or "" in names or len(set(names)) < len(names) or len(names) > COLUMNS_MAX:
            raise ToolFailed(
                f"the first line must name the columns: each one once, at most {COLUMNS_MAX}"
            )
        self.columns = tuple(
            Column(name, kind) for name, kind in zip(names, self._types(len(names)), strict=True)
        )

    def rows(self) -> Iterator[tuple[Cell, ...]]:
        """Read the rows from the start."""
        numeric = [column.numeric for column in self.columns]
        for row in self._texts(len(self.columns)):
            yield tuple(
                (Decimal(text) if number else text) if text else None
                for text, number in zip(row, numeric, strict=True)
            )

    def _types(self, width: int) -> list[Type]:
        kinds: list[Type | None] = [None] * width
        for row in self._texts(width):
            for at, text in enumerate(row):
                if text and kinds[at] is not Type.TEXT:
                    kinds[at] = _wider(kinds[at], _type_of(text))
        return [kind or Type.TEXT for kind in kinds]

    def _texts(self, width: int) -> Iterator[list[str]]:
        lines = self._lines()
        next(lines)
        for count, row in enumerate(filter(None, lines), 1):
            if count > ROWS_MAX:
                raise ToolFailed(f"the file has more than {ROWS_MAX} rows")
            if len(row) != width:
                raise ToolFailed(f"row {count} has {len(row)} cells, the header {width}")
            yield [cell.strip() for cell in row]

    def _lines(self) -> Iterator[list[str]]:
        try:
            self._text.seek(0)
            delimiter = _delimiter(self._text.readline())
            self._text.seek(0)
            yield from csv.reader(self._text, delimiter=delimiter, strict=True)
        except UnicodeDecodeError:
            raise ToolFailed("the file is not in UTF-8") from None
        except csv.Error as wrong:
            raise ToolFailed(f"the file is not proper CSV: {wrong}") from None


@contextmanager
def open_table(folder: Path, file: str) -> Iterator[Table]:
    """Open a CSV file of the folder; what is wrong with it is the call's outcome."""
    if not file.endswith(".csv"):
        raise ArgumentInvalid("file", "must end in .csv")
    try:
        opened = open_inside(folder, file)
    except OutsideFolder:
        raise ArgumentInvalid("file", "is outside the data folder") from None
    except NoSuchFile:
        names = ", ".join(names_inside(folder, "*.csv")) or "none"
        raise ArgumentInvalid("file", f"there is no such file; there are: {names}") from None
    with opened:
        if os.fstat(opened.fileno()).st_size > FILE_BYTES_MAX:
            raise ToolFailed(f"the file has more than {FILE_BYTES_MAX} bytes")
        yield Table(opened)


def shown(cell: Cell) -> int | float | str | None:
    """Return a cell as JSON has it."""
    if not isinstance(cell, Decimal):
        return cell
    return int(cell) if cell == cell.to_integral_value() else float(cell)


def find(columns: Iterable[Column], name: str, field: str) -> Column:
    """Return the column of that name, or blame `field`."""
    columns = list(columns)
    for column in columns:
        if column.name == name:
            return column
    names = ", ".join(column.name for column in columns)
    raise ArgumentInvalid(field, f"there is no column {name!r}; there are: {names}")


def _delimiter(header: str) -> str:
    return max(",;\t", key=header.count)


def _type_of(text: str) -> Type:
    number = _NUMBER.fullmatch(text)
    if number is None or sum(map(str.isdigit, text)) > _DIGITS_MAX:
        return Type.TEXT
    return Type.NUMBER if number[2] else Type.INTEGER


def _wider(one: Type | None, other: Type) -> Type:
    if one is None or one is other:
        return other
    return Type.TEXT if Type.TEXT in {one, other} else Type.NUMBER
