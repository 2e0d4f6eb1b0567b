"""Whether failed work is tried again, and when. Pure."""

from google.protobuf.duration_pb2 import Duration

from pentad.state.v1.run_pb2 import Failure
from pentad.state.v1.workflow_pb2 import NodeRetry
from pentad_orchestrator.bounds import to_seconds

_BACKOFF_S = 1.0
_BACKOFF_S_MAX = 60.0
_DOUBLINGS_MAX = 20

_FOR_GOOD = frozenset(
    {"TOOL_CALL_REFUSED", "TOOL_CALL_EXPIRED", "TOOL_CALL_LIMIT_REACHED", "CHILD_DEPTH_EXCEEDED"}
)
"""Reasons that another attempt does not mend, unless it is asked for by name."""


def pause_after(retry: NodeRetry, attempt: int, failure: Failure) -> Duration | None:
    """Return how long to wait before another attempt; None when there is none."""
    meant = failure.reason in retry.reasons if retry.reasons else failure.reason not in _FOR_GOOD
    if attempt >= retry.max_attempts or not meant:
        return None
    first_s = to_seconds(retry.backoff) if retry.HasField("backoff") else _BACKOFF_S
    most_s = to_seconds(retry.max_backoff) if retry.HasField("max_backoff") else _BACKOFF_S_MAX
    pause = Duration()
    pause_s = min(most_s, first_s * 2.0 ** min(attempt - 1, _DOUBLINGS_MAX))
    pause.FromNanoseconds(int(pause_s * 1e9))
    return pause
