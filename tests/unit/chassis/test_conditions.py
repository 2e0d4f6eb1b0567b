"""Conditions are checked when compiled, and never stall or surprise when asked."""

import pytest

from pentad_chassis.conditions import (
    ConditionInvalid,
    ConditionUndecided,
    Kind,
    compiled,
)

NAMES = (
    ("arguments", Kind.ANYTHING),
    ("tool", Kind.TEXT),
    ("iteration", Kind.WHOLE_NUMBER),
)


def ask(text: str, arguments: object = None) -> bool:
    return compiled(text, NAMES).holds({"arguments": arguments, "tool": "pay", "iteration": 2})


@pytest.mark.parametrize(
    ("text", "arguments", "holds"),
    [
        ("arguments.amount > 100", {"amount": 100.5}, True),
        ("arguments.amount > 100", {"amount": 100}, False),
        ("tool == 'pay' && iteration < 3", None, True),
        ("arguments.list.exists(x, x == 'a')", {"list": ["b", "a"]}, True),
        ("has(arguments.to) && arguments.to != ''", {}, False),
        ("arguments.sure", {"sure": True}, True),
    ],
)
def test_a_condition_holds_for_what_it_says(text: str, arguments: object, holds: bool) -> None:
    assert ask(text, arguments) is holds


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("iteration", "must be true or false"),
        ("iteration > 1 ? 'a' : 'b'", "must be true or false"),
        ("amount > 1", "1:1: undeclared reference to 'amount'"),
        ("iteration && true", "no matching overload"),
        ("tool ==", "Syntax error"),
        ("(" * 2000, "recursion limit"),
        ("", "Syntax error"),
    ],
)
def test_what_is_no_condition_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ConditionInvalid, match=why.replace("(", r"\(")):
        compiled(text, NAMES)


@pytest.mark.parametrize(
    ("text", "arguments", "why"),
    [
        ("arguments.amount > 100", {}, "Key not found"),
        ("arguments.amount > 100", None, "non-message"),
        ("arguments.amount > 100", {"amount": "lots"}, "overload"),
        ("arguments.sure", {"sure": 3}, "no truth value but 3"),
    ],
)
def test_values_that_it_does_not_fit_leave_it_undecided(
    text: str, arguments: object, why: str
) -> None:
    with pytest.raises(ConditionUndecided, match=why):
        ask(text, arguments)


def test_one_that_would_take_forever_is_given_up() -> None:
    ten, text = list(range(10)), "true"
    for name in "abcdefgh":
        text = f"{ten}.all({name}, {text})"
    with pytest.raises(ConditionUndecided, match="budget"):
        ask(text)
