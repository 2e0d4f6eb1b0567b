"""Spans of recent traces, for an hour, where no collector is set up."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from pentad.state.v1.trace_service_pb2 import Span
from pentad_state.bounds import KIB, check_count
from pentad_state.partitions import key, partition_of
from pentad_state.store import Store, Value, script

_LIVE_MS = 3600 * 1000
_SPANS_MAX = 2000
_AT_ONCE_MAX = 1000
_SPAN_BYTES = 16 * KIB
_TRACE_BYTES = 8 * KIB * KIB


class Traces:
    """What is kept here may be lost: a trace never holds up its run."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def record(self, spans: Sequence[Span]) -> None:
        """Keep spans; those that find no room, or are huge, are dropped."""
        check_count("spans", len(spans), _AT_ONCE_MAX)
        traces: defaultdict[str, list[Value]] = defaultdict(list)
        for span in spans:
            kept = span.SerializeToString()
            if len(kept) <= _SPAN_BYTES:
                traces[span.trace_id] += (_field(span), kept)
        await asyncio.gather(
            *(
                self._store.run(
                    script("trace_record"), [_key(trace_id)], _LIVE_MS, _SPANS_MAX, *pairs
                )
                for trace_id, pairs in traces.items()
            )
        )

    async def get(self, trace_id: str) -> list[Span]:
        """Return the spans of a trace by start time; those without an end go on, or never end."""
        kept = await self._store.call("HVALS", _key(trace_id))
        every = [Span.FromString(span) for span in kept]
        ended = {span.span_id for span in every if span.HasField("end_time")}
        spans = sorted(
            (span for span in every if span.HasField("end_time") or span.span_id not in ended),
            key=lambda span: (span.start_time.seconds, span.start_time.nanos),
        )
        room = _TRACE_BYTES
        found: list[Span] = []
        for span in spans:
            room -= span.ByteSize()
            if room < 0:
                break
            found.append(span)
        return found


def _field(span: Span) -> str:
    """A span may be told twice: before it has ended, and after."""
    return span.span_id if span.HasField("end_time") else f"~{span.span_id}"


def _key(trace_id: str) -> str:
    return key(partition_of(trace_id), "trace", trace_id)
