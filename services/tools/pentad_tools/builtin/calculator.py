"""Arithmetic, evaluated by simpleeval within bounds that no expression can leave."""

import ast
import math
import operator
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field
from simpleeval import InvalidExpression, SimpleEval

from pentad_tools.tool import Effect, ToolFailed, tool

_BITS_MAX = 4096
"""Of any whole number; some 1200 digits."""

_DIGITS_MAX = 100

Number = int | float


@tool(effect=Effect.PURE, timeout_s=5)
def calculator(
    expression: Annotated[
        str,
        Field(
            min_length=1,
            max_length=500,
            description="Numbers, + - * / // % **, parentheses, pi, e, and the functions abs, ceil,"
            " exp, floor, log, log10, log2, max, min, round, sqrt",
        ),
    ],
) -> Number:
    """Compute the value of an arithmetic expression."""
    try:
        value = _evaluate(expression)
    except ZeroDivisionError:
        raise ToolFailed("division by zero") from None
    except SyntaxError:
        raise ToolFailed("the expression cannot be read") from None
    except InvalidExpression as refused:
        raise ToolFailed(str(refused)) from None
    except (RecursionError, MemoryError):
        raise ToolFailed("the expression is nested too deeply") from None
    except OverflowError:
        raise ToolFailed("the value is too large") from None
    except (ArithmeticError, TypeError, ValueError) as wrong:
        raise ToolFailed(f"it has no value: {wrong}") from None
    return value


def _evaluate(expression: str) -> Number:
    tree = ast.parse(expression.strip(), mode="eval").body
    for node in ast.walk(tree):
        # Formatting of strings could fill the memory; there is nothing to compute with them.
        if isinstance(node, ast.Constant) and type(node.value) not in {int, float}:
            raise ToolFailed("there are only numbers to compute with")
    evaluator = SimpleEval(operators=_OPERATORS, functions=_FUNCTIONS, names=_NAMES)
    evaluator.nodes = {kind: evaluator.nodes[kind] for kind in _NODES}
    return _bounded(evaluator.eval(expression, previously_parsed=tree))


def _bounded(value: object) -> Number:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ToolFailed("the value is not a number")
    if isinstance(value, int) and value.bit_length() > _BITS_MAX:
        raise ToolFailed("the value is too large")
    if isinstance(value, float) and not math.isfinite(value):
        raise ToolFailed("the value is not finite")
    return value


def _power(base: Number, exponent: Number) -> Number:
    whole = isinstance(base, int) and isinstance(exponent, int)
    if whole and exponent > 0 and int(base).bit_length() * exponent > _BITS_MAX:
        raise ToolFailed("the value is too large")
    return _bounded(base**exponent)


def _product(left: Number, right: Number) -> Number:
    return _bounded(left * right)


def _round(value: Number, digits: int = 0) -> Number:
    if abs(digits) > _DIGITS_MAX:
        raise ToolFailed(f"round takes at most {_DIGITS_MAX} digits")
    return round(value, digits) if digits else round(value)


_NODES = (ast.BinOp, ast.UnaryOp, ast.Call, ast.Name, ast.Constant)

_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: _product,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "ceil": math.ceil,
    "exp": math.exp,
    "floor": math.floor,
    "log": math.log,
    "log10": math.log10,
    "log2": math.log2,
    "max": max,
    "min": min,
    "round": _round,
    "sqrt": math.sqrt,
}

_NAMES = {"pi": math.pi, "e": math.e}
