"""Expressions in CEL whose value is JSON, for workflows."""

import math
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from pentad_chassis.conditions import (
    ConditionUndecided,
    Kind,
    Names,
    checked,
    compiled,
    evaluated,
)

Json = Any
"""None, a truth value, a number, a text, or a list or dictionary of such."""

EDGE = ("iteration",)
COMPENSATION = ("output",)
BINDING = ("output",)
ITEM = ("item", "index")
"""What expressions of some places may speak of besides `input` and `nodes.NAME`."""


def names_of(nodes: tuple[str, ...], more: tuple[str, ...] = ()) -> Names:
    """Return what an expression may speak of in a workflow of such nodes."""
    return tuple((name, Kind.ANYTHING) for name in ("input", *map(variable, nodes), *more))


def variable(node: str) -> str:
    """Return the name under which an expression speaks of a node."""
    return f"nodes.{node}"


class Expression:
    """An expression that has a value for each set of values of its names."""

    def __init__(self, text: str, names: Names, compiled_: Any) -> None:
        self._used = _used(text, names)
        self._compiled = compiled_

    def value(self, values: Mapping[str, Json]) -> Json:
        """Return its value; raise ConditionUndecided where it has none that is JSON."""
        given = {name: values[name] for name in self._used}
        return _json(evaluated(self._compiled, given).plain_value())


@lru_cache(maxsize=2048)
def expression(text: str, names: Names) -> Expression:
    """Return the expression that a text states, or raise ConditionInvalid."""
    return Expression(text, names, checked(text, names))


def holds(text: str, names: Names, values: Mapping[str, Json]) -> bool:
    """Return whether a condition is true; raise ConditionUndecided or ConditionInvalid."""
    return compiled(text, names).holds({name: values[name] for name in _used(text, names)})


@lru_cache(maxsize=2048)
def _used(text: str, names: Names) -> tuple[str, ...]:
    """Return the names that a text may speak of: to hand over more costs time."""
    dense = re.sub(r"\s+", "", text)
    return tuple(name for name, _ in names if name in dense)


def _json(value: Any) -> Json:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            if not math.isfinite(value):
                raise ConditionUndecided(f"{value} is no number of JSON")
            return value
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case timedelta():
            return f"{value.total_seconds():g}s"
        case list():
            return [_json(each) for each in value]
        case dict():
            if not all(isinstance(key, str) for key in value):
                raise ConditionUndecided("gave an object whose keys are no texts")
            return {key: _json(value[key]) for key in sorted(value)}
    raise ConditionUndecided(f"gave {type(value).__name__}, which is not JSON")
