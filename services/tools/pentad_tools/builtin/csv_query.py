"""Questions to a table: filter, group, aggregate, order, limit. Pure; rows come and go."""

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr

from pentad_tools.builtin.csv_table import Cell, Column, Type, find
from pentad_tools.tool import ArgumentInvalid, ToolFailed

GROUPS_MAX = 10_000

Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]
Scalar: TypeAlias = StrictStr | StrictInt | StrictFloat | None
Row: TypeAlias = tuple[Cell, ...]

# Cells of one column are of one type, which mypy cannot know.
_Compare: TypeAlias = Callable[[Any, Any], bool]
_ORDERED: dict[str, _Compare] = {
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Filter(_Part):
    """A condition on one column."""

    column: Name
    op: Literal["eq", "ne", "lt", "le", "gt", "ge", "contains", "in"] = Field(
        description="contains ignores case; in takes a list as value"
    )
    value: Scalar | Annotated[list[Scalar], Field(max_length=100)] = Field(
        description="A number for a numeric column, else a string; null means an empty cell"
    )


class Aggregate(_Part):
    """One figure for each group."""

    op: Literal["count", "sum", "avg", "min", "max"]
    column: Name | None = Field(
        default=None, description="count without a column counts rows, empty cells left out else"
    )
    alias: Name | None = Field(
        default=None, alias="as", description="Name of the figure; default OP_COLUMN, or count"
    )

    @property
    def name(self) -> str:
        """The column it becomes."""
        return self.alias or (f"{self.op}_{self.column}" if self.column else self.op)


class Order(_Part):
    """What to sort by; empty cells come last."""

    column: Name = Field(description="A column of the result, or of the file if nothing is grouped")
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """A whole question."""

    where: Sequence[Filter] = ()
    select: Sequence[str] = ()
    group_by: Sequence[str] = ()
    aggregates: Sequence[Aggregate] = ()
    order_by: Sequence[Order] = ()
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Answer:
    """What a table has to say."""

    names: tuple[str, ...]
    rows: list[Row]
    row_count: int
    """Of rows before the limit."""


def ask(query: Query, columns: tuple[Column, ...], rows: Iterable[Row]) -> Answer:
    """Answer the question; ArgumentInvalid when it does not fit the columns."""
    keep = _condition(query.where, columns)
    kept = filter(keep, rows)
    if query.group_by or query.aggregates:
        names, result = _group(query, columns, kept)
    else:
        names, result = tuple(column.name for column in columns), list(kept)
    for number, order in reversed(list(enumerate(query.order_by))):
        at = _index(names, order.column, f"order_by[{number}].column")
        _sort(result, at, descending=order.descending)
    picked = [_index(names, name, f"select[{n}]") for n, name in enumerate(query.select)]
    picked = picked or list(range(len(names)))
    return Answer(
        tuple(names[at] for at in picked),
        [tuple(row[at] for at in picked) for row in result[: query.limit]],
        len(result),
    )


def _condition(where: Sequence[Filter], columns: tuple[Column, ...]) -> Callable[[Row], bool]:
    tests = [_test(wanted, columns, f"where[{number}]") for number, wanted in enumerate(where)]
    return lambda row: all(test(row) for test in tests)


def _test(wanted: Filter, columns: tuple[Column, ...], field: str) -> Callable[[Row], bool]:
    column = find(columns, wanted.column, f"{field}.column")
    at = columns.index(column)
    if isinstance(wanted.value, list) != (wanted.op == "in"):
        raise ArgumentInvalid(f"{field}.value", "must be a list for in, and for nothing else")
    if isinstance(wanted.value, list):
        among = {_value(value, column, field) for value in wanted.value}
        return lambda row: row[at] in among
    value = _value(wanted.value, column, field)
    if wanted.op == "eq":
        return lambda row: row[at] == value
    if wanted.op == "ne":
        return lambda row: row[at] != value
    if value is None:
        raise ArgumentInvalid(f"{field}.value", "null goes with eq, ne and in only")
    if wanted.op == "contains":
        return _contains(column, at, value, field)
    compare = _ORDERED[wanted.op]
    return lambda row: row[at] is not None and compare(row[at], value)


def _contains(column: Column, at: int, value: Cell, field: str) -> Callable[[Row], bool]:
    if column.numeric:
        raise ArgumentInvalid(f"{field}.op", f"column {column.name!r} holds numbers, not text")
    part = str(value).casefold()
    return lambda row: row[at] is not None and part in str(row[at]).casefold()


def _value(value: Scalar, column: Column, field: str) -> Cell:
    if value is None:
        return None
    if isinstance(value, str) == column.numeric:
        right = "numbers: give a number" if column.numeric else "text: give a string"
        raise ArgumentInvalid(f"{field}.value", f"column {column.name!r} holds {right}")
    if isinstance(value, str):
        return value or None
    return Decimal(str(value))


def _group(
    query: Query, columns: tuple[Column, ...], rows: Iterable[Row]
) -> tuple[tuple[str, ...], list[Row]]:
    by = [
        columns.index(find(columns, name, f"group_by[{number}]"))
        for number, name in enumerate(query.group_by)
    ]
    figures = [_figure(wanted, columns, n) for n, wanted in enumerate(query.aggregates)]
    names = (*query.group_by, *(wanted.name for wanted in query.aggregates))
    if len(set(names)) < len(names):
        raise ArgumentInvalid("aggregates", "two columns of the result have the same name: use as")
    groups: dict[Row, list[_Figure]] = {}
    if not by:
        groups[()] = [make() for make in figures]  # all rows are one group, even if there are none
    for row in rows:
        key = tuple(row[at] for at in by)
        if key not in groups:
            if len(groups) >= GROUPS_MAX:
                raise ToolFailed(f"there are more than {GROUPS_MAX} groups")
            groups[key] = [make() for make in figures]
        for figure in groups[key]:
            figure.add(row)
    return names, [(*key, *(f.value() for f in group)) for key, group in groups.items()]


class _Figure:
    """An aggregate of one group, as it grows."""

    def __init__(self, op: str, at: int | None) -> None:
        self._op = op
        self._at = at
        self._count = 0
        self._sum = Decimal(0)
        self._extreme: Cell = None

    def add(self, row: Row) -> None:
        cell: Cell = "" if self._at is None else row[self._at]
        if cell is None:
            return
        self._count += 1
        if self._op in {"sum", "avg"} and isinstance(cell, Decimal):
            self._sum += cell
        elif self._op in {"min", "max"} and (self._extreme is None or self._beats(cell)):
            self._extreme = cell

    def value(self) -> Cell:
        match self._op:
            case "count":
                return Decimal(self._count)
            case "sum":
                return self._sum
            case "avg":
                return self._sum / self._count if self._count else None
        return self._extreme

    def _beats(self, cell: Cell) -> bool:
        better = _ORDERED["lt" if self._op == "min" else "gt"]
        return better(cell, self._extreme)


def _figure(wanted: Aggregate, columns: tuple[Column, ...], number: int) -> Callable[[], _Figure]:
    field = f"aggregates[{number}].column"
    if wanted.column is None:
        if wanted.op != "count":
            raise ArgumentInvalid(field, f"{wanted.op} needs a column")
        return lambda: _Figure("count", None)
    column = find(columns, wanted.column, field)
    if wanted.op in {"sum", "avg"} and column.type is Type.TEXT:
        raise ArgumentInvalid(field, f"column {column.name!r} holds text, not numbers")
    at = columns.index(column)
    return lambda: _Figure(wanted.op, at)


def _index(names: Sequence[str], name: str, field: str) -> int:
    if name not in names:
        raise ArgumentInvalid(field, f"there is no column {name!r}; there are: {', '.join(names)}")
    return names.index(name)


def _sort(rows: list[Row], at: int, *, descending: bool) -> None:
    def key(row: Row) -> tuple[bool, Any]:
        cell = row[at]
        return (not descending, 0) if cell is None else (descending, cell)

    rows.sort(key=key, reverse=descending)
