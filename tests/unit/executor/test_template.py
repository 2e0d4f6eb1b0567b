from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pentad_executor.template import (
    Json,
    Path,
    TemplateError,
    as_text,
    descend,
    fill,
    fill_text,
    from_json,
    paths,
    to_json,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def lookup_in(values: dict[str, Json]) -> Callable[[Path], Json]:
    def lookup(path: Path) -> Json:
        return descend(values, path)

    return lookup


def test_placeholders_become_what_they_stand_for() -> None:
    values = lookup_in({"input": "tickets", "count": {"rows": [{"n": 3}]}})

    assert fill_text("{count.rows.0.n} of {input}", values) == "3 of tickets"


def test_a_string_that_is_one_placeholder_keeps_the_type_of_its_value() -> None:
    values = lookup_in({"rows": [1, {"a": True}]})

    assert fill({"x": "{rows}", "y": ["{rows.0}", "n={rows.0}"]}, values) == {
        "x": [1, {"a": True}],
        "y": [1, "n=1"],
    }


def test_a_value_inside_a_text_is_compact_json() -> None:
    values = lookup_in({"row": {"open": True, "owner": None}})

    assert fill_text("found {row}", values) == 'found {"open":true,"owner":null}'


def test_doubled_braces_stand_for_braces() -> None:
    assert fill_text("{{input}} is {input}}}", lookup_in({"input": "x"})) == "{input} is x}"


@pytest.mark.parametrize("text", ["{", "}", "a {b", "{}", "{a..b}", "{.a}", "{a}}", "{{a}"])
def test_a_brace_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(TemplateError):
        fill_text(text, lookup_in({"a": "x", "b": "y"}))


@pytest.mark.parametrize("path", ["a.x", "a.1", "a.0.b.c", "a.-1", "b"])
def test_a_path_that_leads_nowhere_is_refused(path: str) -> None:
    with pytest.raises(TemplateError):
        descend({"a": [{"b": 1}]}, tuple(path.split(".")))


def test_all_placeholders_of_a_value_are_found() -> None:
    assert paths({"a": ["{x.y}", 1, {"b": "{z} and {{no}}"}]}) == [("x", "y"), ("z",)]


@given(st.text())
def test_any_text_survives_with_its_braces_doubled(text: str) -> None:
    escaped = text.replace("{", "{{").replace("}", "}}")

    assert fill_text(escaped, lookup_in({})) == text


@given(json_values)
def test_any_value_survives_a_placeholder_of_its_own(value: Json) -> None:
    assert fill("{v}", lookup_in({"v": value})) == value


@given(json_values)
def test_any_json_result_is_read_back(value: Json) -> None:
    assert from_json(to_json(value)) == value


@given(st.text())
def test_what_is_no_json_stays_text(text: str) -> None:
    assert as_text(from_json("not json: " + text)) == "not json: " + text


@pytest.mark.parametrize("text", ["[" * 100_000, "NaN", "9" * 5000, '"\\ud800"', "Infinity"])
def test_json_that_cannot_be_carried_on_stays_text(text: str) -> None:
    assert from_json(text) == text


def test_whole_numbers_are_written_without_a_fraction() -> None:
    assert to_json({"a": 3.0, "b": [2.5]}) == '{"a":3,"b":[2.5]}'
