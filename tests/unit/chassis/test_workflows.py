"""Expressions, templates and shapes of workflows."""

import json
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from pentad.state.v1.workflow_pb2 import Node, ToolWork, WorkflowSpec
from pentad_chassis.conditions import ConditionInvalid, ConditionUndecided
from pentad_chassis.workflows.expressions import expression, names_of
from pentad_chassis.workflows.shape import alone, cycle, shape_of
from pentad_chassis.workflows.templates import as_json, as_text, invalid, render, template

NAMES = names_of(("a", "ab"), ("item",))
VALUES: dict[str, Any] = {
    "input": {"n": 3, "x": [1.5, None, True], "t": "text"},
    "nodes.a": {"output": {"k": "v"}, "text": '{"k": "v"}', "state": "completed"},
    "nodes.ab": {"output": None, "text": "", "state": "idle"},
    "item": "i",
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("input.n + 1", 4),
        ("input.x", [1.5, None, True]),
        ("nodes.a.output.k + item", "vi"),
        ("nodes . ab . output == null", True),
        ("{'b': 1u, 'a': [2.5]}", {"a": [2.5], "b": 1}),
        ("timestamp('2026-01-01T00:00:00Z')", "2026-01-01T00:00:00Z"),
        ("duration('90s')", "90s"),
    ],
)
def test_an_expression_has_a_value_that_is_json(text: str, value: Any) -> None:
    assert expression(text, NAMES).value(VALUES) == value


@pytest.mark.parametrize("text", ["input.none", "1.0 / 0.0", "b'x'", "{1: 2}", "input.n + 'x'"])
def test_an_expression_may_have_none(text: str) -> None:
    with pytest.raises(ConditionUndecided):
        expression(text, NAMES).value(VALUES)


@pytest.mark.parametrize("text", ["nodes.b.output", "nodes['a']", "index", "1 +", ""])
def test_an_expression_speaks_of_what_there_is(text: str) -> None:
    with pytest.raises(ConditionInvalid):
        expression(text, NAMES)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", ""),
        ("plain {braces}", "plain {braces}"),
        ("${input.n}", 3),
        ("n=${input.n}, ${nodes.a.output}", 'n=3, {"k":"v"}'),
        ("$${input.n} $ {", "${input.n} $ {"),
        ("$$${", "$${"),
        ("${'}' + \"}\" + '\\'}'}", "}}'}"),
        ("${ {'a': {'b': 1}}.a.b }", 1),
        ("${'''}'''}x", "}x"),
    ],
)
def test_a_template_becomes_a_text_or_a_value(text: str, value: Any) -> None:
    assert template(text, NAMES).value(VALUES) == value


@pytest.mark.parametrize("text", ["${", "x ${input", "${'}", "${nope}", "${}"])
def test_a_template_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConditionInvalid):
        template(text, NAMES)


def test_arguments_are_filled_wherever_they_have_texts() -> None:
    arguments = Struct()
    arguments.update({"a": "${input.x}", "b": [{"c": "n: ${input.n}"}, 1, 2.5, None, False]})

    filled = render(arguments, NAMES, VALUES)
    assert filled == {"a": [1.5, None, True], "b": [{"c": "n: 3"}, 1, 2.5, None, False]}
    assert not list(invalid(arguments, NAMES))
    arguments.update({"b": [{"c d": "${x}"}]})
    assert [place for place, _ in invalid(arguments, NAMES)] == ['["b"][0]["c d"]']


_LEAVES = st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.text(max_size=9)
_JSON = st.recursive(_LEAVES, lambda of: st.lists(of) | st.dictionaries(st.text(max_size=3), of))


@given(_JSON)
def test_json_stays_what_it_is(value: Any) -> None:
    text = json.dumps(value)
    try:
        text.encode()
        as_text(value).encode()
    except UnicodeEncodeError:
        return
    assert as_json(text) == value
    if not isinstance(value, str):
        assert as_json(as_text(value)) == value


@pytest.mark.parametrize(
    "text",
    ["NaN", "[Infinity]", "1e999", "99999999999999999999", "9" * 5000, '"\\ud800"', "{", "["],
)
def test_what_an_expression_cannot_hold_stays_text(text: str) -> None:
    assert as_json(text) == text


def spec(nodes: str, *edges: str) -> WorkflowSpec:
    """Return a workflow; an edge back is `a b 3`."""
    made = WorkflowSpec(nodes=[Node(name=name, tool=ToolWork(name="do")) for name in nodes])
    for each in edges:
        source, target, *bound = each.split()
        made.edges.add(**{"from": source}, to=target, max_iterations=int(bound[0]) if bound else 0)
    return made


def test_a_loop_holds_what_lies_between_its_ends() -> None:
    shape = shape_of(spec("abcdx", "a b", "b c", "b x", "c d", "c b 3", "x d"))

    assert shape.bodies == {4: frozenset("bc")}
    assert {arc: back for arc, back in shape.leaves.items() if back} == {2: (4,), 3: (4,)}


def test_a_cycle_is_found_and_named() -> None:
    assert cycle(shape_of(spec("abcd", "a b", "b c", "c b", "c d"))) == ("b", "c")
    assert cycle(shape_of(spec("ab", "a b", "b a 1"))) == ()
    assert cycle(shape_of(spec("a", "a a"))) == ("a",)


def test_what_stands_alone_is_found() -> None:
    assert alone(shape_of(spec("abc", "a b"))) == {"c"}
    assert alone(shape_of(spec("abc"))) == frozenset()


def test_what_is_no_node_is_left_out() -> None:
    shape = shape_of(spec("aa", "a z", "z a", "a a 1"))

    assert [arc.place for arc in shape.arcs] == [2]
