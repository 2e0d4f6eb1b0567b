"""Templates: texts with expressions in `${…}`, and JSON of such texts."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn

from google.protobuf.struct_pb2 import ListValue, Struct, Value

from pentad_chassis.conditions import ConditionInvalid, Names
from pentad_chassis.workflows.expressions import Expression, Json, expression

_INT64_MAX = 2**63 - 1
_DIGITS_MAX = 20
_QUOTES = ("'''", '"""', "'", '"')


@dataclass(frozen=True, slots=True)
class Template:
    """A text with expressions in it."""

    parts: tuple[str | Expression, ...]

    def value(self, values: Mapping[str, Json]) -> Json:
        """Return what becomes of it; raise ConditionUndecided where an expression has no value."""
        if len(self.parts) == 1 and isinstance(self.parts[0], Expression):
            return self.parts[0].value(values)
        return self.text(values)

    def text(self, values: Mapping[str, Json]) -> str:
        """Return what becomes of it as a text."""
        return "".join(
            part if isinstance(part, str) else as_text(part.value(values)) for part in self.parts
        )


@lru_cache(maxsize=2048)
def template(text: str, names: Names) -> Template:
    """Return the template that a text states, or raise ConditionInvalid."""
    parts: list[str | Expression] = []
    said = ""
    at = 0
    while at < len(text):
        if text.startswith("$${", at):
            said += "${"
            at += 3
        elif text.startswith("${", at):
            end = _end(text, at + 2)
            parts += [said] if said else []
            parts.append(expression(text[at + 2 : end].strip(), names))
            said, at = "", end + 1
        else:
            said += text[at]
            at += 1
    return Template((*parts, said) if said or not parts else tuple(parts))


def render(arguments: Struct, names: Names, values: Mapping[str, Json]) -> dict[str, Json]:
    """Return arguments with each text among them as what becomes of it."""
    return {key: _render(arguments.fields[key], names, values) for key in sorted(arguments.fields)}


def invalid(arguments: Struct, names: Names) -> Iterator[tuple[str, str]]:
    """Yield place and fault of each text among arguments that is no template."""
    for key in sorted(arguments.fields):
        yield from _invalid(f"[{json.dumps(key)}]", arguments.fields[key], names)


def as_text(value: Json) -> str:
    """Return a value in words: a text as it is, all else as JSON, the same on each machine."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def as_json(text: str) -> Json:
    """Return what a text holds as JSON, or the text itself where an expression cannot hold that."""
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_number, parse_int=_whole)
        if "\\u" in text:
            as_text(value).encode()  # half a character is none
    except (ValueError, RecursionError):
        return text
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


def _number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        _refuse(digits)
    return number


def _whole(digits: str) -> int:
    if len(digits) > _DIGITS_MAX or abs(int(digits)) > _INT64_MAX:
        _refuse(digits)
    return int(digits)


def _render(value: Value, names: Names, values: Mapping[str, Json]) -> Json:
    match value.WhichOneof("kind"):
        case "string_value":
            return template(value.string_value, names).value(values)
        case "struct_value":
            return render(value.struct_value, names, values)
        case "list_value":
            return [_render(each, names, values) for each in value.list_value.values]
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "bool_value":
            return value.bool_value
    return None


def _invalid(at: str, value: Value, names: Names) -> Iterator[tuple[str, str]]:
    match value.WhichOneof("kind"):
        case "string_value":
            try:
                template(value.string_value, names)
            except ConditionInvalid as wrong:
                yield at, str(wrong)
        case "struct_value":
            for place, fault in invalid(value.struct_value, names):
                yield f"{at}{place}", fault
        case "list_value":
            yield from _invalid_in(at, value.list_value, names)


def _invalid_in(at: str, values: ListValue, names: Names) -> Iterator[tuple[str, str]]:
    for i, each in enumerate(values.values):
        yield from _invalid(f"{at}[{i}]", each, names)


def _end(text: str, at: int) -> int:
    """Return where the expression ends that begins at a place: braces and texts are its own."""
    depth = 0
    while at < len(text):
        if quote := next((q for q in _QUOTES if text.startswith(q, at)), ""):
            at = _behind_quote(text, at + len(quote), quote)
            continue
        if text[at] == "}":
            if depth == 0:
                return at
            depth -= 1
        elif text[at] == "{":
            depth += 1
        at += 1
    raise ConditionInvalid("has a `${` without its `}`; `$${` stands for `${`")


def _behind_quote(text: str, at: int, quote: str) -> int:
    while at < len(text):
        if text.startswith(quote, at):
            return at + len(quote)
        at += 2 if text[at] == "\\" else 1
    return at
