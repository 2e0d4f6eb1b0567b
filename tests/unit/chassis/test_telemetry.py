import asyncio
import io
import json
from collections.abc import AsyncGenerator

import pytest

from pentad_chassis.errors import NotFound
from pentad_chassis.telemetry import current_traceparent, open_telemetry, silent_telemetry


def test_a_log_line_is_json_with_service_and_trace() -> None:
    stream = io.StringIO()
    telemetry = open_telemetry("state", "info", stream)
    with telemetry.span("work"):
        telemetry.log.info("lease lost", run_id="r")
        trace_id = current_traceparent().split("-")[1]
    telemetry.log.debug("not said at this level")

    (line,) = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert entry["event"] == "lease lost"
    assert entry["service"] == "state"
    assert entry["run_id"] == "r"
    assert entry["trace_id"] == trace_id


def test_a_span_continues_the_trace_it_is_given() -> None:
    telemetry = open_telemetry("executor")
    with telemetry.span("chat", traceparent=f"00-{'a' * 32}-{'b' * 16}-01"):
        pass

    (span,) = telemetry.spans.take()
    assert (span.trace_id, span.parent_span_id) == ("a" * 32, "b" * 16)


def test_a_failed_span_has_the_reason_and_not_the_message() -> None:
    telemetry = open_telemetry("executor")
    with pytest.raises(NotFound), telemetry.span("chat"):
        raise NotFound("what the user said")

    (span,) = telemetry.spans.take()
    assert span.failed
    assert span.attributes["error.type"] == "NOT_FOUND"
    assert "what the user said" not in str(span)


def test_spans_that_are_not_sampled_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    telemetry = open_telemetry("executor")
    with telemetry.span("chat"):
        pass

    assert telemetry.spans.take() == []


def test_there_is_no_traceparent_outside_of_a_span() -> None:
    assert current_traceparent() == ""
    with silent_telemetry("state").span("work"):
        assert current_traceparent() == ""


async def test_a_span_ends_with_a_stream_that_is_closed_in_another_context(
    caplog: pytest.LogCaptureFixture,
) -> None:
    telemetry = open_telemetry("executor")

    async def stream() -> AsyncGenerator[int, None]:
        with telemetry.span("chat"):
            yield 1

    responses = stream()
    await anext(responses)
    await asyncio.create_task(responses.aclose())

    assert [span.name for span in telemetry.spans.take()] == ["chat"]
    assert not caplog.records
