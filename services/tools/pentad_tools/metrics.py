"""What the tools service counts of its calls."""

from collections.abc import Callable

from pentad_chassis.metrics import LONG_BUCKETS_S, Metrics

OK = "OK"
UNKNOWN_TOOL = "unknown"
"""Stands for all names that are not in the catalogue: models make them up."""


class CallMetrics:
    """Numbers by tool, of which there are as many as the catalogue holds."""

    def __init__(self, metrics: Metrics) -> None:
        self._calls = metrics.counter(
            "pentad_tool_calls",
            "Calls by outcome: OK, or the reason for which there is no result.",
            ("tool", "outcome"),
        )
        self._replayed = metrics.counter(
            "pentad_tool_replays",
            "Calls answered with the outcome that is in the ledger.",
            ("tool",),
        )
        self._durations = metrics.timings(
            "pentad_tool_call_duration_seconds",
            "Time from a call to its outcome, replayed ones left out.",
            ("tool",),
            LONG_BUCKETS_S,
        )

    def ended(self, tool: str, outcome: str, seconds: float, *, replayed: bool) -> None:
        """Count a call; inside of its span."""
        self._calls.labels(tool, outcome).inc()
        if replayed:
            self._replayed.labels(tool).inc()
        else:
            self._durations.observe(seconds, (tool,))


def webhook_counter(metrics: Metrics) -> Callable[[str], None]:
    """Return what counts attempts at notices: `delivered`, `failed` and `given_up`."""
    notices = metrics.counter(
        "pentad_webhook_notices", "Notices posted to webhooks, by outcome.", ("outcome",)
    )

    def count(outcome: str) -> None:
        notices.labels(outcome).inc()

    return count
