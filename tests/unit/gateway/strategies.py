"""Hypothesis strategies: any message, read off its descriptor, and specs that are right."""

from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.message import Message
from hypothesis import strategies as st

M = TypeVar("M", bound=Message)

_DEPTH = 5
_ODD_TEXT = st.sampled_from(
    ["", " ", "a", "A", "rules:x", "input", "a" * 200, "é" * 64, "\x00", "(", "a\n", "\u2028"]
)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | _ODD_TEXT
_SCALARS: dict[int, st.SearchStrategy[Any]] = {
    Field.TYPE_STRING: _TEXT,
    Field.TYPE_BYTES: st.binary(max_size=8),
    Field.TYPE_BOOL: st.booleans(),
    Field.TYPE_INT32: st.integers(-(2**31), 2**31 - 1) | st.integers(-1, 1001),
    Field.TYPE_INT64: st.integers(-(2**63), 2**63 - 1) | st.integers(-1, 1001),
    Field.TYPE_ENUM: st.integers(-1, 7),
    Field.TYPE_DOUBLE: st.floats(),
}


@st.composite
def messages(draw: st.DrawFn, of: type[M], depth: int = _DEPTH) -> M:
    """Draw a message with any of its fields set to anything."""
    message = of()
    for field in of.DESCRIPTOR.fields:
        if draw(st.booleans()):
            _fill(draw, message, field, depth)
    return message


def _fill(draw: st.DrawFn, message: Message, field: Any, depth: int) -> None:
    if field.message_type is None:
        value = _SCALARS[field.type]
        if field.is_repeated:
            getattr(message, field.name).extend(draw(st.lists(value, max_size=4)))
        else:
            setattr(message, field.name, draw(value))
    elif depth == 0:
        return
    elif field.message_type.GetOptions().map_entry:
        values = getattr(message, field.name)
        for key in draw(st.lists(_TEXT, max_size=3)):
            values[key].CopyFrom(draw(messages(type(values[key]), depth - 1)))
    elif field.is_repeated:
        held = getattr(message, field.name)
        for _ in range(draw(st.integers(0, 3))):
            held.add().CopyFrom(draw(messages(type(held.add()), depth - 1)))
            del held[-1]
    else:
        held = getattr(message, field.name)
        held.CopyFrom(draw(messages(type(held), depth - 1)))
        held.SetInParent()


def name(pattern: str) -> st.SearchStrategy[str]:
    """Names that a pattern allows."""
    return st.from_regex(pattern, fullmatch=True)


@st.composite
def valid_specs(draw: st.DrawFn) -> dict[str, Any]:
    """Specs of runs, as JSON, with nothing wrong about them."""
    performer = draw(
        st.fixed_dictionaries({"agent": name("[a-z][a-z0-9-]{0,62}")})
        | st.fixed_dictionaries({"capability": name("[a-z][a-z0-9._-]{0,62}")})
    )
    text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
    names = draw(st.lists(name("[a-z][a-z0-9_]{0,31}"), min_size=1, max_size=5, unique=True))
    steps = [{"name": step, "input": draw(text)} for step in names]
    workflows: list[dict[str, Any]] = [{}, {"simple": {}}, {"multiStep": {"steps": steps}}]
    workflow = draw(st.sampled_from(workflows))
    session = draw(st.just("") | name("[A-Za-z0-9][A-Za-z0-9._:-]{0,127}"))
    return {**performer, **workflow, "input": draw(text), "sessionId": session}
