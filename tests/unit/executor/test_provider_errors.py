"""Providers' errors, as bodies and as events, in our own words."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import ClientConnectionResetError, ClientPayloadError, ConnectionTimeoutError

from pentad_executor.provider_errors import connection_lost, fault_of, to_service_error

MODEL = "openai:m"
SECRET = "quoted from the prompt"


def reason(error: object, status: int = 0) -> str:
    told = to_service_error(fault_of(error, status), MODEL, "OPENAI_API_KEY")
    assert SECRET not in f"{told.message} {told.metadata}"
    return told.reason


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (401, {}, "MODEL_NOT_CONFIGURED"),
        (403, {"code": "invalid_api_key"}, "MODEL_REFUSED"),
        (402, {}, "MODEL_REFUSED"),
        (400, {"message": "Your credit balance is too low"}, "MODEL_REFUSED"),
        (429, {"type": "insufficient_quota"}, "MODEL_REFUSED"),
        (429, {}, "MODEL_RATE_LIMITED"),
        (404, {}, "MODEL_UNKNOWN"),
        (400, {"code": "model_not_found"}, "MODEL_UNKNOWN"),
        (400, {"message": SECRET}, "MODEL_REFUSED"),
        (422, SECRET, "MODEL_REFUSED"),
        (408, {}, "MODEL_UNAVAILABLE"),
        (500, {}, "MODEL_UNAVAILABLE"),
        (529, {"type": "overloaded_error"}, "MODEL_UNAVAILABLE"),
        (429, {"code": "server_is_overloaded"}, "MODEL_UNAVAILABLE"),
    ],
)
def test_a_status_and_its_body_have_a_reason(status: int, error: Any, expected: str) -> None:
    assert reason(error, status) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"type": "overloaded_error"}, "MODEL_UNAVAILABLE"),
        ({"type": "api_error"}, "MODEL_UNAVAILABLE"),
        ({"type": "rate_limit_error"}, "MODEL_RATE_LIMITED"),
        ({"code": "rate_limit_exceeded"}, "MODEL_RATE_LIMITED"),
        ({"type": "authentication_error"}, "MODEL_NOT_CONFIGURED"),
        ({"type": "not_found_error"}, "MODEL_UNKNOWN"),
        ({"type": "invalid_request_error"}, "MODEL_REFUSED"),
        ({"code": "context_length_exceeded"}, "MODEL_REFUSED"),
        ({"code": 503}, "MODEL_UNAVAILABLE"),
        ({"code": "429"}, "MODEL_RATE_LIMITED"),
        ({"code": "never heard of", "message": SECRET}, "MODEL_UNAVAILABLE"),
        (SECRET, "MODEL_UNAVAILABLE"),
        ([SECRET], "MODEL_UNAVAILABLE"),
    ],
)
def test_an_error_inside_a_stream_has_the_reason_it_would_have_had_before(
    error: Any, expected: str
) -> None:
    assert reason(error) == expected


def test_the_providers_own_name_helps_to_look_it_up() -> None:
    fault = fault_of({"code": "c" * 100, "type": "t"}, 500)

    assert to_service_error(fault, MODEL, "").metadata == {
        "model": MODEL,
        "status": "500",
        "provider_code": "c" * 64,
    }


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", 7),
        ("0.5", 0.5),
        ("-3", 0),
        ("1e9", 3600),
        ("inf", 3600),
        ("nan", None),
        ("soon", None),
    ],
)
def test_a_rate_limit_says_for_how_long(said: str, seconds: float | None) -> None:
    fault = fault_of({}, 429, {"retry-after": said})

    assert to_service_error(fault, MODEL, "").retry_after_s == seconds


@pytest.mark.parametrize(("minutes", "least", "most"), [(30, 1, 1800), (-30, 0, 0)])
def test_a_rate_limit_may_name_the_time(minutes: int, least: float, most: float) -> None:
    then = format_datetime(datetime.now(UTC) + timedelta(minutes=minutes))

    seconds = fault_of({}, 429, {"retry-after": then}).retry_after_s

    assert seconds is not None
    assert least <= seconds <= most


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionTimeoutError(), "timed out"),
        (ClientPayloadError(), "closed"),
        (ClientConnectionResetError(), "closed"),
    ],
)
def test_a_connection_that_fails_makes_the_model_unavailable(error: Any, said: str) -> None:
    told = connection_lost(error, MODEL)

    assert told.reason == "MODEL_UNAVAILABLE"
    assert said in told.message
