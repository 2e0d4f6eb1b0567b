"""Queries against a naive oracle, and by hand where words matter."""

import json
from decimal import Decimal
from functools import cmp_to_key
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pentad_tools.builtin import csv_query as module
from pentad_tools.builtin.csv_files import csv_query
from pentad_tools.builtin.csv_query import Aggregate, Filter, Order, Query, ask
from pentad_tools.builtin.csv_table import Cell, Column, Type
from pentad_tools.tool import ArgumentInvalid, ToolContext, ToolFailed

TICKETS = """\
id,product,status,priority,hours,opened
1,phone,open,1,2.5,2026-11-01
2,phone,closed,2,,2026-11-03
3,Laptop,open,3,0.1,2026-11-02
4,laptop,waiting,1,0.2,2026-11-05
5,,open,2,4,2026-11-04
"""


@pytest.fixture
def tickets(context: ToolContext) -> ToolContext:
    (context.data_dir / "tickets.csv").write_text(TICKETS)
    return context


def query(context: ToolContext, **parts: Any) -> list[dict[str, Any]]:
    """Ask as a model does, through the schema."""
    text = json.dumps({"file": "tickets.csv", **parts})
    result = csv_query(context=context, **csv_query.parameters.parse(text))
    return result.rows


def test_rows_come_typed_and_in_the_order_of_the_file(tickets: ToolContext) -> None:
    rows = query(tickets, limit=2)

    assert rows == [
        {"id": 1, "product": "phone", "status": "open", "priority": 1, "hours": 2.5,
         "opened": "2026-11-01"},
        {"id": 2, "product": "phone", "status": "closed", "priority": 2, "hours": None,
         "opened": "2026-11-03"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ([], [1, 2, 3, 4, 5]),
        ([{"column": "status", "op": "eq", "value": "open"}], [1, 3, 5]),
        ([{"column": "status", "op": "ne", "value": "open"}], [2, 4]),
        ([{"column": "hours", "op": "eq", "value": 4}], [5]),
        ([{"column": "hours", "op": "eq", "value": 0.1}], [3]),
        ([{"column": "hours", "op": "ge", "value": 0.2}], [1, 4, 5]),
        ([{"column": "hours", "op": "lt", "value": 2.5}], [3, 4]),
        ([{"column": "hours", "op": "eq", "value": None}], [2]),
        ([{"column": "hours", "op": "ne", "value": None}], [1, 3, 4, 5]),
        ([{"column": "product", "op": "eq", "value": ""}], [5]),
        ([{"column": "product", "op": "contains", "value": "LAP"}], [3, 4]),
        ([{"column": "opened", "op": "gt", "value": "2026-11-03"}], [4, 5]),
        ([{"column": "priority", "op": "in", "value": [2.0, 3]}], [2, 3, 5]),
        ([{"column": "hours", "op": "in", "value": [None, 4]}], [2, 5]),
        ([{"column": "status", "op": "eq", "value": "open"},
          {"column": "priority", "op": "le", "value": 2}], [1, 5]),
    ],
)  # fmt: skip
def test_filters(tickets: ToolContext, where: list[Any], ids: list[int]) -> None:
    assert [row["id"] for row in query(tickets, where=where)] == ids


def test_groups_with_figures(tickets: ToolContext) -> None:
    rows = query(
        tickets,
        group_by=["product"],
        aggregates=[
            {"op": "count"},
            {"op": "count", "column": "hours"},
            {"op": "sum", "column": "hours", "as": "total"},
            {"op": "avg", "column": "hours"},
            {"op": "min", "column": "opened"},
            {"op": "max", "column": "priority"},
        ],
        order_by=[{"column": "total", "descending": True}],
        limit=2,
    )

    assert rows == [
        {"product": None, "count": 1, "count_hours": 1, "total": 4, "avg_hours": 4,
         "min_opened": "2026-11-04", "max_priority": 2},
        {"product": "phone", "count": 2, "count_hours": 1, "total": 2.5, "avg_hours": 2.5,
         "min_opened": "2026-11-01", "max_priority": 2},
    ]  # fmt: skip


def test_sums_are_decimal(tickets: ToolContext) -> None:
    rows = query(
        tickets,
        where=[{"column": "product", "op": "contains", "value": "laptop"}],
        aggregates=[{"op": "sum", "column": "hours"}],
    )

    assert rows == [{"sum_hours": 0.3}]


def test_figures_of_nothing(tickets: ToolContext) -> None:
    rows = query(
        tickets,
        where=[{"column": "id", "op": "gt", "value": 99}],
        aggregates=[{"op": op, "column": "hours"} for op in ("count", "sum", "avg", "min")],
    )

    assert rows == [{"count_hours": 0, "sum_hours": 0, "avg_hours": None, "min_hours": None}]


def test_distinct_values(tickets: ToolContext) -> None:
    rows = query(tickets, group_by=["status"], order_by=[{"column": "status"}])

    assert [row["status"] for row in rows] == ["closed", "open", "waiting"]


def test_columns_can_be_picked_and_sorted_by_others(tickets: ToolContext) -> None:
    rows = query(
        tickets,
        select=["id"],
        order_by=[{"column": "product"}, {"column": "opened", "descending": True}],
    )

    assert rows == [{"id": 3}, {"id": 4}, {"id": 2}, {"id": 1}, {"id": 5}]


def test_a_cut_result_says_so(tickets: ToolContext) -> None:
    result = csv_query("tickets.csv", tickets, limit=4)

    assert (len(result.rows), result.row_count, result.truncated) == (4, 5, True)
    assert not csv_query("tickets.csv", tickets, limit=5).truncated


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"where": [{"column": "x", "op": "eq", "value": 1}]},
         "where[0].column: there is no column 'x'; there are: id, product, status"),
        ({"where": [{"column": "hours", "op": "eq", "value": "4"}]},
         "where[0].value: column 'hours' holds numbers: give a number"),
        ({"where": [{"column": "status", "op": "in", "value": ["open", 4]}]},
         "where[0].value: column 'status' holds text: give a string"),
        ({"where": [{"column": "status", "op": "in", "value": "open"}]},
         "where[0].value: must be a list for in"),
        ({"where": [{"column": "status", "op": "eq", "value": ["open"]}]},
         "where[0].value: must be a list for in"),
        ({"where": [{"column": "hours", "op": "lt", "value": None}]},
         "where[0].value: null goes with eq, ne and in only"),
        ({"where": [{"column": "status", "op": "contains", "value": ""}]},
         "where[0].value: null goes with eq, ne and in only"),
        ({"where": [{"column": "id", "op": "contains", "value": 1}]},
         "where[0].op: column 'id' holds numbers, not text"),
        ({"select": ["id", "x"]}, "select[1]: there is no column 'x'"),
        ({"group_by": ["x"]}, "group_by[0]: there is no column 'x'"),
        ({"aggregates": [{"op": "sum"}]}, "aggregates[0].column: sum needs a column"),
        ({"aggregates": [{"op": "avg", "column": "status"}]},
         "aggregates[0].column: column 'status' holds text"),
        ({"aggregates": [{"op": "count"}, {"op": "count"}]},
         "aggregates: two columns of the result have the same name"),
        ({"group_by": ["status"], "order_by": [{"column": "id"}]},
         "order_by[0].column: there is no column 'id'; there are: status"),
    ],
)  # fmt: skip
def test_what_does_not_fit_names_its_field(
    tickets: ToolContext, parts: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentInvalid) as caught:
        query(tickets, **parts)

    assert str(caught.value).startswith(message)


def test_groups_have_a_bound(tickets: ToolContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GROUPS_MAX", 2)

    with pytest.raises(ToolFailed, match="more than 2 groups"):
        query(tickets, group_by=["id"])


# The oracle works on a table of a fixed shape: a number, a text and a number.
COLUMNS = (Column("n", Type.INTEGER), Column("t", Type.TEXT), Column("m", Type.NUMBER))
NAMES = tuple(column.name for column in COLUMNS)
numbers = st.none() | st.integers(-3, 3).map(Decimal)
texts = st.none() | st.sampled_from(["a", "b", "ab"])
tables = st.lists(st.tuples(numbers, texts, numbers), max_size=12)
COMPARE: dict[str, Any] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a is not None and a < b,
    "le": lambda a, b: a is not None and a <= b,
    "gt": lambda a, b: a is not None and a > b,
    "ge": lambda a, b: a is not None and a >= b,
}
filters = st.one_of(
    st.builds(
        Filter,
        column=st.sampled_from(["n", "m"]),
        op=st.sampled_from(sorted(COMPARE)),
        value=st.integers(-3, 3),
    ),
    st.builds(
        Filter,
        column=st.just("t"),
        op=st.sampled_from(sorted(COMPARE)),
        value=st.sampled_from(["a", "b", "ab"]),
    ),
)
OPS = ("count", "sum", "avg", "min", "max")


def oracle_filter(rows: list[tuple[Cell, ...]], where: list[Filter]) -> list[tuple[Cell, ...]]:
    return [
        row
        for row in rows
        if all(COMPARE[w.op](row[NAMES.index(w.column)], w.value) for w in where)
    ]


def oracle_figure(op: str, cells: list[Any]) -> Any:
    cells = [cell for cell in cells if cell is not None]
    if op in {"count", "sum"}:
        return len(cells) if op == "count" else sum(cells)
    if not cells:
        return None
    return sum(cells) / len(cells) if op == "avg" else {"min": min, "max": max}[op](cells)


@given(tables, st.lists(filters, max_size=3), st.integers(1, 12))
def test_filters_agree_with_the_oracle(
    rows: list[tuple[Cell, ...]], where: list[Filter], limit: int
) -> None:
    answer = ask(Query(where=where, limit=limit), COLUMNS, rows)

    expected = oracle_filter(rows, where)
    assert answer.rows == expected[:limit]
    assert answer.row_count == len(expected)


@given(
    tables, st.lists(filters, max_size=1), st.lists(st.sampled_from(NAMES), max_size=2, unique=True)
)
def test_groups_agree_with_the_oracle(
    rows: list[tuple[Cell, ...]], where: list[Filter], by: list[str]
) -> None:
    wanted = [Aggregate.model_validate({"op": op, "column": "m", "as": op}) for op in OPS]

    answer = ask(Query(where=where, group_by=by, aggregates=wanted, limit=1000), COLUMNS, rows)

    kept = oracle_filter(rows, where)
    keys = {tuple(row[NAMES.index(name)] for name in by) for row in kept} or ({()} - {()})
    if not by:
        keys = {()}
    expected = {
        (*key, *(
            oracle_figure(
                op,
                [r[2] for r in kept if tuple(r[NAMES.index(name)] for name in by) == key],
            )
            for op in OPS
        ))
        for key in keys
    }  # fmt: skip
    assert set(answer.rows) == expected
    assert len(answer.rows) == len(expected)


@given(tables, st.lists(st.builds(Order, column=st.sampled_from(NAMES), descending=st.booleans())))
def test_order_agrees_with_the_oracle(rows: list[tuple[Cell, ...]], order: list[Order]) -> None:
    def compare(one: tuple[Any, ...], other: tuple[Any, ...]) -> int:
        for part in order:
            a, b = one[NAMES.index(part.column)], other[NAMES.index(part.column)]
            if a == b:
                continue
            if a is None or b is None:
                return 1 if a is None else -1
            return (1 if a > b else -1) * (-1 if part.descending else 1)
        return 0

    answer = ask(Query(order_by=order), COLUMNS, rows)

    assert answer.rows == sorted(rows, key=cmp_to_key(compare))
