"""Reading and querying CSV files of the data folder."""

from decimal import Decimal
from typing import Annotated, TypeAlias

from pydantic import BaseModel, Field

from pentad_tools.builtin.csv_query import Aggregate, Filter, Name, Order, Query, ask
from pentad_tools.builtin.csv_table import Cell, Column, Type, open_table, shown
from pentad_tools.tool import Effect, ToolContext, tool

_VALUES_MAX = 12
"""A column with up to so many different values is described by naming them."""

_VALUE_CHARS_MAX = 200

Value: TypeAlias = int | float | str | None
FileName: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=255, description="Name of a CSV file, such as sales.csv")
]


class ColumnDescription(BaseModel):
    """What is known of a column."""

    name: str
    type: Type
    empty: int
    """How many cells are empty."""

    min: Value = None
    max: Value = None
    values: list[Value] | None = None
    """All different values, if they are few."""


class FileDescription(BaseModel):
    """What `csv_describe` returns."""

    file: str
    row_count: int
    columns: list[ColumnDescription]


class QueryResult(BaseModel):
    """What `csv_query` returns."""

    rows: list[dict[str, Value]]
    row_count: int
    """Of rows before the limit."""

    truncated: bool


@tool(effect=Effect.PURE, timeout_s=30)
def csv_describe(file: FileName, context: ToolContext) -> FileDescription:
    """Describe a CSV file: its columns with types, ranges and values, and how many rows it has."""
    with open_table(context.data_dir, file) as table:
        seen = [_Seen(column) for column in table.columns]
        count = 0
        for row in table.rows():
            count += 1
            for column, cell in zip(seen, row, strict=True):
                column.add(cell)
    columns = [column.description() for column in seen]
    return FileDescription(file=file, row_count=count, columns=columns)


@tool(effect=Effect.PURE, timeout_s=30)
def csv_query(  # noqa: PLR0913 - one parameter for each part of a query is how models think of it
    file: FileName,
    context: ToolContext,
    *,
    where: Annotated[
        tuple[Filter, ...], Field(max_length=20, description="Rows must meet all of these")
    ] = (),
    select: Annotated[
        tuple[Name, ...], Field(max_length=100, description="Columns to return; empty means all")
    ] = (),
    group_by: Annotated[tuple[Name, ...], Field(max_length=10)] = (),
    aggregates: Annotated[
        tuple[Aggregate, ...],
        Field(max_length=20, description="Figures for each group, or for all rows"),
    ] = (),
    order_by: Annotated[tuple[Order, ...], Field(max_length=10)] = (),
    limit: Annotated[int, Field(ge=1, le=1000, description="Rows to return at most")] = 100,
) -> QueryResult:
    """Filter, group, aggregate and sort the rows of a CSV file; dates in ISO form sort as text."""
    query = Query(where, select, group_by, aggregates, order_by, limit)
    with open_table(context.data_dir, file) as table:
        answer = ask(query, table.columns, table.rows())
    rows = [dict(zip(answer.names, map(shown, row), strict=True)) for row in answer.rows]
    return QueryResult(
        rows=rows, row_count=answer.row_count, truncated=len(rows) < answer.row_count
    )


class _Seen:
    """What was seen of a column so far."""

    def __init__(self, column: Column) -> None:
        self._column = column
        self._empty = 0
        self._values: set[Cell] = set()
        self._least: Cell = None
        self._most: Cell = None

    def add(self, cell: Cell) -> None:
        if cell is None:
            self._empty += 1
            return
        if len(self._values) <= _VALUES_MAX:
            self._values.add(cell)
        if self._least is None or cell < self._least:  # type: ignore[operator]  # of one type
            self._least = cell
        if self._most is None or cell > self._most:  # type: ignore[operator]
            self._most = cell

    def description(self) -> ColumnDescription:
        few = 0 < len(self._values) <= _VALUES_MAX
        values = sorted(self._values)  # type: ignore[type-var]
        return ColumnDescription(
            name=self._column.name,
            type=self._column.type,
            empty=self._empty,
            min=_short(self._least),
            max=_short(self._most),
            values=[_short(value) for value in values] if few else None,
        )


def _short(cell: Cell) -> Value:
    if isinstance(cell, Decimal) or cell is None or len(cell) <= _VALUE_CHARS_MAX:
        return shown(cell)
    return cell[: _VALUE_CHARS_MAX - 1] + "…"
