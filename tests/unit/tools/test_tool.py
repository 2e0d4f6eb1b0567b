import json
from typing import Annotated

import pytest
from pydantic import BaseModel, Field

from pentad_tools.parameters import ArgumentsInvalid
from pentad_tools.tool import (
    NOT_DONE,
    AnyTool,
    Checked,
    Effect,
    Tool,
    ToolContext,
    ToolDefinitionInvalid,
    tool,
)


class Item(BaseModel):
    name: str
    amount: Annotated[int, Field(ge=1)]


@tool(effect=Effect.ONCE, timeout_s=3)
def order(
    items: Annotated[list[Item], Field(max_length=3, description="What to order")],
    context: ToolContext,
    json: str = "plain",
    express: bool = False,  # noqa: FBT002
) -> str:
    """Order
    some items.

    This is for readers of the code.
    """
    del items, context, json, express
    return "ordered"


def arguments(text: str) -> dict[str, object]:
    return order.parameters.parse(text)


def test_a_tool_is_described_by_its_function() -> None:
    assert order.name == "order"
    assert order.description == "Order some items."
    assert order.effect is Effect.ONCE
    assert order.timeout_s == 3


def test_the_schema_shows_models_all_but_the_context() -> None:
    schema = order.parameters.schema()

    assert schema["type"] == "object"
    assert list(schema["properties"]) == ["items", "json", "express"]
    assert schema["required"] == ["items"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["items"]["description"] == "What to order"
    assert schema["properties"]["json"] == {"default": "plain", "type": "string"}


def test_arguments_become_the_types_of_the_parameters() -> None:
    parsed = arguments('{"items": [{"name": "tea", "amount": 2.0}]}')

    assert parsed == {
        "items": [Item(name="tea", amount=2)],
        "json": "plain",
        "express": False,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "items: is required"),
        ('{"items": [{"name": "tea"}]}', "items[0].amount: is required"),
        (
            '{"items": [{"name": 1, "amount": 0}]}',
            (
                "items[0].name: Input should be a valid string; "
                "items[0].amount: Input should be greater than or equal to 1"
            ),
        ),
        (
            '{"items": [], "context": {}}',
            "context: there is no such argument; there are: items, json, express",
        ),
        ("[]", "arguments: Input should be an object"),
        ('{"items": ', "arguments: Invalid JSON: EOF while parsing a value at line 1 column 10"),
    ],
)
def test_each_wrong_field_is_named_with_what_would_be_right(text: str, message: str) -> None:
    with pytest.raises(ArgumentsInvalid) as caught:
        arguments(text)

    assert str(caught.value) == message


def test_a_long_list_of_problems_is_cut() -> None:
    with pytest.raises(ArgumentsInvalid, match=r"and 6 more$"):
        arguments(json.dumps({"items": [], **{f"x{n}": 1 for n in range(16)}}))


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises(ArgumentsInvalid, match="recursion limit"):
        arguments('{"items":' + "[" * 10_000 + "]" * 10_000 + "}")


def bad_name_() -> None:
    """Do it."""


def undocumented() -> None: ...


def untyped(a, b: int) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Do it."""


def variable(*numbers: int) -> None:
    """Do it."""


def unknown_hint(a: "Missing") -> None:  # type: ignore[name-defined]  # noqa: F821
    """Do it."""


def unspeakable(a: Tool) -> None:  # type: ignore[type-arg]
    """Do it."""


def field_as_default(a: int = Field(default=3)) -> None:
    """Do it."""


@pytest.mark.parametrize(
    "function", [undocumented, untyped, variable, unknown_hint, unspeakable, field_as_default]
)
def test_a_function_that_makes_no_tool_is_refused(function: object) -> None:
    with pytest.raises(ToolDefinitionInvalid, match=f"tool '{function.__name__}'"):  # type: ignore[attr-defined]
        tool(effect=Effect.PURE)(function)  # type: ignore[arg-type]


def test_a_name_outside_the_pattern_is_refused() -> None:
    bad_name_.__name__ = "BadName"

    with pytest.raises(ToolDefinitionInvalid, match="must match"):
        tool(effect=Effect.PURE)(bad_name_)


def test_an_effect_has_to_be_chosen() -> None:
    with pytest.raises(TypeError):
        tool()  # type: ignore[call-arg]
    with pytest.raises(ToolDefinitionInvalid, match="effect"):
        tool(effect="PURE")(undocumented)  # type: ignore[arg-type]


@pytest.mark.parametrize("timeout_s", [0, -1, 4000, float("nan")])
def test_a_timeout_has_bounds(timeout_s: float) -> None:
    with pytest.raises(ToolDefinitionInvalid, match="timeout_s"):
        tool(effect=Effect.PURE, timeout_s=timeout_s)(pay)


def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


def test_a_tool_can_be_called_as_the_function_it_is() -> None:
    assert tool(effect=Effect.PURE)(pay)(3) == "paid 3"


def test_a_check_belongs_to_a_once_tool_and_takes_its_parameters() -> None:
    def was_paid(amount: int) -> Checked:
        del amount
        return NOT_DONE

    def other(total: int) -> Checked:
        del total
        return NOT_DONE

    once: AnyTool = tool(effect=Effect.ONCE)(pay)
    once.check(was_paid)
    assert once.checker is was_paid

    with pytest.raises(ToolDefinitionInvalid, match="same parameters"):
        once.check(other)
    with pytest.raises(ToolDefinitionInvalid, match="only ONCE"):
        tool(effect=Effect.IDEMPOTENT)(pay).check(was_paid)
