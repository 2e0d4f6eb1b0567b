"""Stacks as a sampled process writes them down, and which layer each of them is of."""

import linecache
import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

_BUSY_IN_C = re.compile(
    r"\b(?:SerializeToString|ParseFromString|FromString|CopyFrom|MergeFrom|ByteSize"
    r"|encode|decode|request_deserializer|response_serializer|transformer)\("
)
_WAITS_FOR_GRPC = re.compile(r"/pentad_chassis/link/(?:servicer|desk|session)\.py$")
"""What runs gRPC's compiled code itself, with no Python frame of gRPC's in between."""
_INTO_GRPC = re.compile(r"\basync for\b|\bawait (?:context|self\._stream)\.")


class Layer(StrEnum):
    """Whom processor time is put down to."""

    THREADS = "gRPC's own threads: sockets, HTTP/2"
    LOOP = "event loop, and what of gRPC is compiled"
    GRPC = "gRPC, called from Python"
    LINK = "link"
    CHASSIS = "chassis: errors, retries, deadlines, admission"
    SERIALISATION = "serialisation"
    TRACING = "tracing"
    METERS = "metrics and logs"
    STORE = "store client"
    OWN = "the service's own"


class Frame(NamedTuple):
    """One line of a stack."""

    path: str
    line: int
    function: str


Stack = Sequence[Frame]
"""The innermost frame first."""

_PATHS: Sequence[tuple[re.Pattern[str], Layer]] = tuple(
    (re.compile(pattern), layer)
    for pattern, layer in (
        # Below these a stack is that of whoever runs the loop.
        (r"/(?:uvloop/__init__|asyncio/runners|pentad_chassis/runner)\.py$", Layer.LOOP),
        (r"/pentad_chassis/link/", Layer.LINK),
        (r"/pentad_chassis/(?:spans|tracer|telemetry|export|instrumentation)\.py$", Layer.TRACING),
        (r"/opentelemetry/|/pentad_state/(?:servicer/)?traces\.py$", Layer.TRACING),
        (r"/pentad_\w+/(?:metrics|logs|redaction)\.py$", Layer.METERS),
        (r"/(?:prometheus_client|structlog|logging)/", Layer.METERS),
        (r"/pentad_state/(?:pipe|exchange|connection|cluster|sentinel|store)\.py$", Layer.STORE),
        (r"/site-packages/(?:redis|hiredis)/", Layer.STORE),
        (r"/pentad_chassis/|/site-packages/(?:pybreaker|tenacity)/", Layer.CHASSIS),
        (r"/site-packages/grpc/", Layer.GRPC),
        (r"/pentad_(?:gateway|orchestrator|executor|tools|state)/", Layer.OWN),
    )
)


def read_stacks(text: str) -> Iterator[Stack]:
    """Yield the stacks that a process noted, one a line."""
    for line in text.splitlines():
        frames = (frame.rsplit(":", 2) for frame in line.split("|"))
        yield [Frame(path, int(number), function) for path, number, function in frames]


def layer_of(stack: Stack) -> Layer:
    """Return the layer of the innermost frame that belongs to one.

    What belongs to none, such as the standard library, works for whoever called it.
    """
    innermost = stack[0]
    source = linecache.getline(innermost.path, innermost.line)
    if _BUSY_IN_C.search(source):
        return Layer.SERIALISATION
    if _WAITS_FOR_GRPC.search(innermost.path) and _INTO_GRPC.search(source):
        return Layer.GRPC
    for frame in stack:
        for pattern, layer in _PATHS:
            if pattern.search(frame.path):
                return layer
    return Layer.LOOP
