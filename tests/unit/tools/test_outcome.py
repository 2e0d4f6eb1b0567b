import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from pydantic import BaseModel

from pentad_tools.outcome import MESSAGE_CHARS_MAX, RESULT_BYTES_MAX, Reason, failure, returned


class Report(BaseModel):
    at: datetime
    total: Decimal


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (3, "3"),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        (float("nan"), "null"),
        (
            Report(at=datetime(2026, 11, 20, tzinfo=UTC), total=Decimal("1.50")),
            '{"at":"2026-11-20T00:00:00Z","total":"1.50"}',
        ),
    ],
)
def test_values_become_json(value: object, text: str) -> None:
    result = returned(value).result

    assert result.content_type == "application/json"
    assert json.loads(result.text) == json.loads(text)


def test_a_string_stays_text() -> None:
    assert returned("héllo").result.text == "héllo"
    assert returned("héllo").result.content_type == "text/plain"


@pytest.mark.parametrize("value", ["é" * (RESULT_BYTES_MAX // 2), ["x" * (RESULT_BYTES_MAX - 4)]])
def test_a_result_of_the_largest_size_is_kept(value: object) -> None:
    assert returned(value).HasField("result")


@pytest.mark.parametrize(
    "value", ["é" * (RESULT_BYTES_MAX // 2) + "x", ["x" * (RESULT_BYTES_MAX - 3)]]
)
def test_a_larger_result_is_refused_and_says_that_the_call_was_made(value: object) -> None:
    error = returned(value).error

    assert error.reason == "TOOL_RESULT_TOO_LARGE"
    assert "the call was made" in error.message
    assert str(RESULT_BYTES_MAX) in error.message


def cyclic() -> list[object]:
    ring: list[object] = []
    ring.append(ring)
    return ring


@pytest.mark.parametrize("value", [object(), cyclic(), "\ud800", b"\xff"])
def test_what_cannot_become_json_is_a_failure(value: object) -> None:
    error = returned(value).error

    assert error.reason == "TOOL_FAILED"
    assert type(value).__name__ in error.message


def test_a_message_has_a_bound() -> None:
    message = failure(Reason.TOOL_FAILED, "x" * 5000).error.message

    assert len(message) == MESSAGE_CHARS_MAX
    assert message.endswith("x…")


def test_a_number_keeps_all_its_digits() -> None:
    assert returned(10**5000).result.text == "1" + "0" * 5000
