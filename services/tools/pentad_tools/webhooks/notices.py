"""What a webhook is told: one notice for each event after which a run waits or has ended."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.webhook_pb2 import Webhook

OUTPUT_CHARACTERS_MAX = 64 * 1024
"""Of an answer, in a notice; the run itself holds the whole."""

_STATES = {
    "run_waiting": "WAITING",
    "run_paused": "PAUSED",
    "run_completed": "COMPLETED",
    "run_failed": "FAILED",
    "run_cancelled": "CANCELLED",
}
"""By the kind of event that leads to it."""

_TERMINAL = frozenset({"run_completed", "run_failed", "run_cancelled"})


@dataclass(frozen=True, slots=True)
class Notice:
    """One event as a webhook is told of it: the same bytes at each attempt."""

    notice_id: str
    seq: int
    kind: str
    time_ms: int
    body: bytes


def notices_in(events: Iterable[Event], webhook: Webhook) -> Iterator[Notice]:
    """Yield what the webhook wants to be told of these events."""
    wanted = set(webhook.notices) or {Webhook.NOTICE_WAITING, Webhook.NOTICE_TERMINAL}
    for event in events:
        kind = event.WhichOneof("kind") or ""
        told_as = Webhook.NOTICE_TERMINAL if kind in _TERMINAL else Webhook.NOTICE_WAITING
        if kind in _STATES and told_as in wanted:
            yield notice_of(event)


def notice_of(event: Event) -> Notice:
    """Return the notice of an event after which a run waits or has ended."""
    kind = event.WhichOneof("kind") or ""
    notice_id = f"{event.run_id}/{event.seq}"
    about = {"run_id": event.run_id, "state": _STATES[kind], **_details(event, kind)}
    told = {"id": notice_id, "type": kind, "time": event.time.ToJsonString(), "run": about}
    body = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
    return Notice(notice_id, event.seq, kind, event.time.ToMilliseconds(), body)


def ends(event: Event) -> bool:
    """Whether nothing comes behind the event."""
    return event.WhichOneof("kind") in _TERMINAL


def _details(event: Event, kind: str) -> dict[str, Any]:
    """Return what the event says, with the field names of the protos."""
    said: Message = getattr(event, kind)
    details: dict[str, Any] = MessageToDict(said, preserving_proto_field_name=True)
    output = details.get("output", "")
    if len(output) > OUTPUT_CHARACTERS_MAX:
        details |= {"output": output[:OUTPUT_CHARACTERS_MAX], "output_cut": True}
    return details
