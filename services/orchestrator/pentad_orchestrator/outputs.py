"""What a run is told of the runs that it started: small enough to be read by a model. Pure."""

import json
from collections.abc import Mapping

from pentad.state.v1.message_pb2 import Payload
from pentad.state.v1.run_pb2 import RunStatus

BYTES_MAX = 192 * 1024
"""Of all outputs together; a payload holds 256 KiB, of which escapes take their part."""

CANCELLED = "RUN_CANCELLED"
_MESSAGE_MAX = 1000


def result_of(status: RunStatus) -> Payload:
    """Return the answer of a run as the result of a call."""
    return Payload(content_type="text/plain", text=shortened(status.output, BYTES_MAX))


def results_of(statuses: Mapping[int, RunStatus]) -> Payload:
    """Return answers and failures of several runs, in the order in which they were asked for."""
    each_max = BYTES_MAX // max(1, len(statuses))
    told = [_told(index, statuses[index], each_max) for index in sorted(statuses)]
    text = json.dumps(told, ensure_ascii=False)
    return Payload(content_type="application/json", text=text)


def failures_of(statuses: Mapping[int, RunStatus]) -> str:
    """Return in words why runs gave no answer."""
    told = [": ".join(failure_of(s)) for _, s in sorted(statuses.items()) if not s.output]
    return shortened("; ".join(told), _MESSAGE_MAX)


def failure_of(status: RunStatus) -> tuple[str, str]:
    """Return why a run gave no answer: a reason for programs, and words."""
    if status.state == RunStatus.STATE_CANCELLED:
        return CANCELLED, status.cancel_reason
    return status.failure.reason, status.failure.message


def shortened(text: str, bytes_max: int) -> str:
    """Return a text, cut where it is too long; then it says so."""
    encoded = text.encode()
    if len(encoded) <= bytes_max:
        return text
    return f"{encoded[:bytes_max].decode(errors='ignore')}… (cut; {len(encoded)} bytes in all)"


def _told(index: int, status: RunStatus, bytes_max: int) -> dict[str, object]:
    if status.state == RunStatus.STATE_COMPLETED:
        return {"index": index, "output": shortened(status.output, bytes_max)}
    reason, message = failure_of(status)
    return {"index": index, "failure": {"reason": reason, "message": message[:_MESSAGE_MAX]}}
