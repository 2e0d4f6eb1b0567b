"""What is counted of tool calls."""

from pentad_chassis.metrics import Metrics
from pentad_tools.metrics import OK, UNKNOWN_TOOL, CallMetrics


def test_calls_are_counted_by_outcome_and_timed_unless_replayed() -> None:
    metrics = Metrics()
    calls = CallMetrics(metrics)

    calls.ended("csv", OK, 2.0, replayed=False)
    calls.ended("csv", OK, 0.1, replayed=True)
    calls.ended("csv", "TOOL_TIMEOUT", 60.0, replayed=False)
    calls.ended(UNKNOWN_TOOL, "TOOL_NOT_FOUND", 0.0, replayed=False)

    value = metrics.registry.get_sample_value
    assert value("pentad_tool_calls_total", {"tool": "csv", "outcome": "OK"}) == 2
    assert value("pentad_tool_calls_total", {"tool": "csv", "outcome": "TOOL_TIMEOUT"}) == 1
    assert value("pentad_tool_replays_total", {"tool": "csv"}) == 1
    assert value("pentad_tool_call_duration_seconds_sum", {"tool": "csv"}) == 62.0
