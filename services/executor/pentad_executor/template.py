"""Placeholders in texts: `{name}` and `{name.path.0.to}`; `{{` and `}}` stand for braces."""

import json
import math
import re
from collections.abc import Callable

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Path = tuple[str, ...]

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class TemplateError(ValueError):
    """A text or a path that cannot be followed; says why."""


def parse(text: str) -> list[str | Path]:
    """Split a text into literal pieces and the paths of its placeholders."""
    parts: list[str | Path] = []
    position = 0
    for token in _TOKEN.finditer(text):
        if token.start() > position:
            parts.append(text[position : token.start()])
        position = token.end()
        parts.append(_part(token))
    if position < len(text):
        parts.append(text[position:])
    return parts


def _part(token: re.Match[str]) -> str | Path:
    if token[0] in {"{{", "}}"}:
        return token[0][0]
    if token[0] in {"{", "}"}:
        raise TemplateError(f"a brace stands alone; write {token[0] * 2} for the character itself")
    path = tuple(token[1].split("."))
    if not all(path):
        raise TemplateError(f"{token[0]} is no placeholder; it names a value, as in {{input}}")
    return path


def paths(value: Json) -> list[Path]:
    """Return the placeholders of all strings in a value."""
    match value:
        case str():
            return [part for part in parse(value) if not isinstance(part, str)]
        case list():
            return [path for item in value for path in paths(item)]
        case dict():
            return [path for item in value.values() for path in paths(item)]
        case _:
            return []


def fill(value: Json, lookup: Callable[[Path], Json]) -> Json:
    """Replace the placeholders of all strings in a value.

    A string that is nothing but one placeholder becomes what it stands for, with its type.
    """
    match value:
        case str():
            parts = parse(value)
            if len(parts) == 1 and not isinstance(parts[0], str):
                return lookup(parts[0])
            return _joined(parts, lookup)
        case list():
            return [fill(item, lookup) for item in value]
        case dict():
            return {key: fill(item, lookup) for key, item in value.items()}
        case _:
            return value


def fill_text(text: str, lookup: Callable[[Path], Json]) -> str:
    """Replace the placeholders of a text by what they stand for, as text."""
    return _joined(parse(text), lookup)


def _joined(parts: list[str | Path], lookup: Callable[[Path], Json]) -> str:
    return "".join(part if isinstance(part, str) else as_text(lookup(part)) for part in parts)


def as_text(value: Json) -> str:
    """Return a string as it is and any other value as compact JSON."""
    return value if isinstance(value, str) else to_json(value)


def to_json(value: Json) -> str:
    """Return compact JSON; whole numbers without a fraction, whatever carried them."""
    return json.dumps(_whole(value), ensure_ascii=False, separators=(",", ":"))


def _whole(value: Json) -> Json:
    match value:
        case float() if not math.isfinite(value):
            raise TemplateError(f"{value} is no number that JSON can hold")
        case float() if value.is_integer():
            return int(value)
        case list():
            return [_whole(item) for item in value]
        case dict():
            return {key: _whole(item) for key, item in value.items()}
        case _:
            return value


def in_order(value: dict[str, Json]) -> dict[str, Json]:
    """Return the same object with sorted keys; a protobuf `Struct` has them in no order at all."""
    found: dict[str, Json] = json.loads(json.dumps(value, sort_keys=True, allow_nan=False))
    return found


def from_json(text: str) -> Json:
    """Return the JSON value that a text is, or the text itself."""
    try:
        value: Json = json.loads(text, parse_constant=_no_constant)
        if "\\ud" in text.lower():
            to_json(value).encode()  # half of a surrogate pair is no text
    except (ValueError, RecursionError):
        return text
    return value


def _no_constant(name: str) -> Json:
    raise ValueError(name)


def descend(value: Json, path: Path) -> Json:
    """Return what lies at a path of keys and list indexes."""
    for step in path:
        match value:
            case dict() if step in value:
                value = value[step]
            case list() if step.isdecimal() and int(step) < len(value):
                value = value[int(step)]
            case dict():
                raise TemplateError(f"no key {step!r} among {', '.join(sorted(value)[:8])}")
            case list():
                raise TemplateError(f"no index {step!r} in a list of {len(value)}")
            case _:
                raise TemplateError(f"no {step!r} in a plain value")
    return value
