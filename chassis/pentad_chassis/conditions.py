"""Conditions in CEL (https://cel.dev): types are checked once, and evaluating one is bounded."""

from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from typing import Any

from cel_expr_python import cel


class ConditionInvalid(ValueError):
    """The text is no condition; the message says where and why, for whoever wrote it."""


class ConditionUndecided(Exception):
    """The condition has no answer for these values; the message says why."""


class Kind(Enum):
    """Type of a name that a condition may speak of."""

    TEXT = cel.Type.STRING
    WHOLE_NUMBER = cel.Type.INT
    ANYTHING = cel.Type.DYN
    """Whatever JSON holds; its types are known only when the condition is evaluated."""


Names = tuple[tuple[str, Kind], ...]
"""What a condition may speak of."""


class Condition:
    """A condition that can be asked any number of times."""

    def __init__(self, text: str, compiled: Any) -> None:
        self.text = text
        self._compiled = compiled

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Return whether it is true for values of all its names; raise ConditionUndecided."""
        found = evaluated(self._compiled, values)
        if found.type() != cel.Type.BOOL:
            raise ConditionUndecided(f"gave no truth value but {found.value()}")
        return bool(found.value())


@lru_cache(maxsize=1024)
def compiled(text: str, names: Names) -> Condition:
    """Return the condition that a text states, or raise ConditionInvalid."""
    expression = checked(text, names)
    if not any(expression.return_type() == fitting for fitting in (cel.Type.BOOL, cel.Type.DYN)):
        raise ConditionInvalid("must be true or false")
    return Condition(text, expression)


def checked(text: str, names: Names) -> Any:
    """Return the library's expression that a text states, or raise ConditionInvalid."""
    environment = cel.NewEnv(variables={name: kind.value for name, kind in names})
    try:
        return environment.compile(text)
    except RuntimeError as error:
        raise ConditionInvalid(_first_line(error)) from None


def evaluated(expression: Any, values: Mapping[str, Any]) -> Any:
    """Return the library's value of an expression, or raise ConditionUndecided."""
    try:
        found = expression.eval(data=dict(values))
    except RuntimeError as error:
        raise ConditionUndecided(_first_line(error)) from None
    if found.type() == cel.Type.ERROR:
        raise ConditionUndecided(str(found.value()))
    return found


def _first_line(error: RuntimeError) -> str:
    first = str(error).partition("\n")[0]
    return first.removeprefix("INVALID_ARGUMENT: ERROR: <input>:")
