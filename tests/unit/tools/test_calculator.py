import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pentad_tools.builtin.calculator import calculator
from pentad_tools.parameters import ArgumentsInvalid
from pentad_tools.tool import ToolFailed


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (" 1 + 2 * 3 ", 7),
        ("(1 + 2) * 3 / 4", 2.25),
        ("7 // 2 + 7 % 2", 4),
        ("-2 ** 2", -4),
        ("2 ** -1", 0.5),
        ("10 ** -5000", 0.0),
        ("round(2.567, 2) + round(1.5)", 4.57),
        ("max(1, 2.5) + min(3, 4) + abs(-1)", 6.5),
        ("sqrt(16) + floor(1.9) + ceil(1.1)", 7),
        ("log(e) + log10(100) + log2(8) + exp(0)", 7),
        ("pi", math.pi),
    ],
)
def test_arithmetic(expression: str, value: float) -> None:
    assert calculator(expression) == pytest.approx(value)


def test_whole_numbers_are_exact() -> None:
    assert calculator("2 ** 2047 + 1") == 2**2047 + 1


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("1 / 0", "division by zero"),
        ("2 ** 4096", "too large"),
        ("9 ** 9 ** 9", "too large"),
        ("(2 ** 4000) * (2 ** 4000)", "too large"),
        ("e ** 1000", "too large"),
        ("1e308 * 10", "not finite"),
        ("1e999", "not finite"),
        ("sqrt(-1)", "no value"),
        ("(-8) ** 0.5", "not a number"),
        ("round(5, -10 ** 9)", "at most 100 digits"),
        ("abs", "not a number"),
        ("x + 1", "'x' is not defined"),
        ("open(1)", "'open' not defined"),
        ("1 +", "cannot be read"),
        ("1; 2", "cannot be read"),
        ("x = 1", "cannot be read"),
        ("()" * 3, "not implemented"),
        ("(" * 240 + "1" + ")" * 240, "cannot be read"),
        ("-" * 499 + "1", "nested too deeply"),
        ("'a' * 99", "only numbers"),
        ("'%999999999d' % 5", "only numbers"),
        ("f'{1:999999999}'", "only numbers"),
        ("True", "only numbers"),
        ("1j", "only numbers"),
        ("(1).__class__", "not available"),
        ("[1] * 9", "not available"),
        ("[x for x in (1, 2)]", "not available"),
        ("1 if 1 else 2", "not available"),
        ("1 < 2", "not available"),
        ("(lambda: 1)()", "not implemented"),
        ("1 << 9", "does not exist"),
    ],
)
def test_what_is_no_arithmetic_or_too_much_of_it_is_refused(expression: str, why: str) -> None:
    with pytest.raises(ToolFailed, match=why):
        calculator(expression)


def test_an_expression_has_a_length() -> None:
    with pytest.raises(ArgumentsInvalid, match="at most 500"):
        calculator.parameters.parse('{"expression": "' + "1+" * 250 + '1"}')


@given(st.text("0123456789.+-*/%() eabsqrtmx,", max_size=60))
def test_any_text_gives_a_number_or_a_reason(expression: str) -> None:
    try:
        value = calculator(expression)
    except ToolFailed:
        return
    assert math.isfinite(value)
