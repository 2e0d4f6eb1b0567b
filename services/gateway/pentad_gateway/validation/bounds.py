"""The bounds that the protos state, and a collector of what breaks them."""

import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from pentad_chassis.errors import FieldViolation

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.message import Message
    from google.protobuf.struct_pb2 import Value
    from google.protobuf.timestamp_pb2 import Timestamp

AGENT_NAME = r"[a-z][a-z0-9-]{0,62}"
CAPABILITY = r"[a-z][a-z0-9._-]{0,62}"
TOOL_NAME = r"[a-z][a-z0-9_]{0,63}"
STEP_NAME = r"[a-z][a-z0-9_]{0,31}"
RULE_NAME = STEP_NAME
NODE_NAME = STEP_NAME
WORKFLOW_NAME = AGENT_NAME
WEBHOOK_NAME = AGENT_NAME
SESSION_ID = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}"

KIB = 1024
REQUEST_ID_BYTES = 128
OWN_REQUESTS = "pentad:"
"""Requests of the suite's own begin so, of a run that starts another for instance."""
RUN_ID_BYTES = 128
CURSOR_BYTES = 1 * KIB
PAGE_TOKEN_BYTES = 4 * KIB
PAGE_SIZE = 500
SEQ_MAX = 2**53
"""Of an event or a message; no journal is longer."""

_DURATION_S = 315_576_000_000
"""Ten thousand years: as far as a Duration is defined."""

_YEAR_1_S, _YEAR_9999_S = -62_135_596_800, 253_402_300_799
"""As far as a Timestamp is defined."""


class Paged(Protocol):
    """A request for a page of a list."""

    page_size: int
    page_token: str


class Bounds:
    """Collects every violation of one request; descriptions never repeat what was sent."""

    def __init__(self) -> None:
        self.violations: list[FieldViolation] = []

    def broken(self, field: str, description: str) -> None:
        """Record that `field` is not what `description` asks for."""
        self.violations.append(FieldViolation(field, description))

    def name(self, field: str, value: str, pattern: str) -> None:
        """Ask that `value` match the whole of `pattern`."""
        if re.fullmatch(pattern, value) is None:
            self.broken(field, f"must match {pattern}")

    def text(self, field: str, value: str, most_bytes: int) -> None:
        """Ask that `value` take no more than `most_bytes` in UTF-8."""
        if len(value.encode()) > most_bytes:
            self.broken(field, f"must be at most {_size(most_bytes)}")

    def filled(self, field: str, value: str, most_bytes: int) -> None:
        """Ask that `value` say something, in no more than `most_bytes`."""
        if not value.strip():
            self.broken(field, "must not be empty")
        self.text(field, value, most_bytes)

    def within(self, field: str, value: int, most: int, least: int = 0) -> None:
        """Ask that `value` lie between `least` and `most`."""
        if not least <= value <= most:
            self.broken(field, f"must be between {least} and {most}")

    def count(self, field: str, number: int, most: int, least: int = 0) -> None:
        """Ask that there be between `least` and `most` of something."""
        if not least <= number <= most:
            wanted = f"{least} to {most}" if least else f"at most {most}"
            self.broken(field, f"must hold {wanted}")

    def unique(self, field: str, values: Iterable[str]) -> None:
        """Ask that no value come twice; `field` has a place for the index."""
        first: dict[str, int] = {}
        for i, value in enumerate(values):
            if first.setdefault(value, i) != i:
                self.broken(field.format(i), f"must differ from that of index {first[value]}")

    def whole(self, field: str, message: "Message", most_bytes: int) -> bool:
        """Ask that all of `message` take no more than `most_bytes`."""
        fits = message.ByteSize() <= most_bytes
        if not fits:
            self.broken(field, f"must be at most {_size(most_bytes)} in all")
        return fits

    def duration(self, field: str, value: "Duration", most_s: int, least_s: int = 0) -> None:
        """Ask for a well-formed time between `least_s` and `most_s` seconds."""
        if not _well_formed(value):
            self.broken(field, "must be a valid Duration")
        elif not least_s * 10**9 <= value.seconds * 10**9 + value.nanos <= most_s * 10**9:
            self.broken(field, f"must be between {least_s} and {most_s} seconds")

    def time(self, field: str, value: "Timestamp", latest_s: float, described: str) -> None:
        """Ask for a well-formed time no later than `latest_s`, which is as `described`."""
        if not (_YEAR_1_S <= value.seconds <= _YEAR_9999_S and 0 <= value.nanos < 10**9):
            self.broken(field, "must be a valid Timestamp")
        elif value.seconds > latest_s:
            self.broken(field, f"must be {described}")

    def request_id(self, value: str) -> None:
        """Ask for a `request_id` within its bound; an empty one is chosen by the gateway."""
        self.text("request_id", value, REQUEST_ID_BYTES)
        if value.startswith(OWN_REQUESTS):
            self.broken("request_id", f"must not begin with `{OWN_REQUESTS}`")

    def run_id(self, value: str) -> None:
        """Ask for the name of a run; it is opaque, so that nothing else can be asked."""
        self.filled("run_id", value, RUN_ID_BYTES)

    def page(self, request: Paged) -> None:
        """Ask for a page of a size that is allowed."""
        self.within("page_size", request.page_size, PAGE_SIZE)
        self.text("page_token", request.page_token, PAGE_TOKEN_BYTES)


def is_json(value: "Value") -> bool:
    """Whether a value is one that JSON has: no number that is none, and none unset."""
    match value.WhichOneof("kind"):
        case None:
            return False
        case "number_value":
            return math.isfinite(value.number_value)
        case "struct_value":
            return all(is_json(v) for v in value.struct_value.fields.values())
        case "list_value":
            return all(is_json(v) for v in value.list_value.values)
    return True


def _well_formed(value: "Duration") -> bool:
    same_sign = value.seconds * value.nanos >= 0
    return same_sign and abs(value.seconds) <= _DURATION_S and abs(value.nanos) < 10**9


def _size(most_bytes: int) -> str:
    return f"{most_bytes // KIB} KiB" if most_bytes % KIB == 0 else f"{most_bytes} bytes"
