"""Numbers stay few, and some of them lead to a trace."""

import pytest
from prometheus_client.openmetrics.exposition import generate_latest

from pentad_chassis.metrics import Metrics, Vocabulary
from pentad_chassis.telemetry import Telemetry, open_telemetry


def exposition(telemetry: Telemetry) -> str:
    text: bytes = generate_latest(telemetry.metrics.registry)  # type: ignore[no-untyped-call]
    return text.decode()


def test_a_vocabulary_has_an_end() -> None:
    words = Vocabulary(2)

    assert [words.word(each) for each in ("a", "b", "c", "a", "d")] == [
        "a",
        "b",
        "other",
        "a",
        "other",
    ]


def test_an_empty_vocabulary_tells_nothing_apart() -> None:
    assert Vocabulary(0).word("acme") == ""


def test_an_observation_has_an_example_now_and_then_and_whenever_it_is_slower() -> None:
    telemetry = open_telemetry("x")
    timings = telemetry.metrics.timings("work_seconds", "Work.", ("kind",))
    traces: dict[float, str] = {}
    for seconds in (0.002, 0.02, 0.003, 0.2, 0.0001):
        with telemetry.span("work") as span:
            traces[seconds] = f"{span.get_span_context().trace_id:032x}"
            timings.observe(seconds, ("a",))

    text = exposition(telemetry)

    assert {s for s, trace_id in traces.items() if trace_id in text} == {0.002, 0.02, 0.2}
    assert telemetry.metrics.registry.get_sample_value("work_seconds_count", {"kind": "a"}) == 5


def test_outside_of_a_sampled_trace_there_is_no_example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    telemetry = open_telemetry("x")
    timings = telemetry.metrics.timings("work_seconds", "Work.")
    timings.observe(1.0)
    with telemetry.span("work"):
        timings.observe(2.0)

    assert "trace_id" not in exposition(telemetry)
    assert Metrics().registry is not telemetry.metrics.registry
