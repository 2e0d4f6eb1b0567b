"""Spans of recent traces, for an hour, where no collector is set up."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from pentad.state.v1.trace_service_pb2 import RecordSpansRequest, Span
from pentad_state.bounds import KIB, check_count
from pentad_state.partitions import key, partition_of
from pentad_state.store import Store, script

_LIVE_MS = 3600 * 1000
_AT_ONCE_MAX = 2000
_SPAN_BYTES = 16 * KIB
_TRACE_BYTES = 2 * KIB * KIB


class Traces:
    """What is kept here may be lost: a trace never holds up its run.

    A trace is kept as one message of all its spans. The bytes of such messages may be put one
    behind the other, so that adding to a trace needs none of what it holds.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def record(self, spans: Sequence[Span]) -> None:
        """Keep spans; those that find no room, or are huge, are dropped."""
        check_count("spans", len(spans), _AT_ONCE_MAX)
        traces: defaultdict[str, list[Span]] = defaultdict(list)
        for span in spans:
            if span.ByteSize() <= _SPAN_BYTES:
                traces[span.trace_id].append(span)
        groups: defaultdict[int, list[str]] = defaultdict(list)
        for trace_id in traces:
            groups[partition_of(trace_id)].append(trace_id)
        await asyncio.gather(
            *(
                self._store.run(
                    script("trace_record"),
                    [_key(p, trace_id) for trace_id in group],
                    _LIVE_MS, _TRACE_BYTES, *(_kept(traces[trace_id]) for trace_id in group),
                )
                for p, group in groups.items()
            )
        )  # fmt: skip

    async def get(self, trace_id: str) -> list[Span]:
        """Return the spans of a trace by start time; those without an end go on, or never end."""
        kept = await self._store.call("GET", _key(partition_of(trace_id), trace_id))
        spans: dict[str, Span] = {}
        for span in RecordSpansRequest.FromString(kept or b"").spans:
            # A span may be told twice: before it has ended, and after.
            if span.span_id not in spans or span.HasField("end_time"):
                spans[span.span_id] = span
        return sorted(
            spans.values(), key=lambda span: (span.start_time.seconds, span.start_time.nanos)
        )


def _kept(spans: Sequence[Span]) -> bytes:
    return RecordSpansRequest(spans=spans).SerializeToString()


def _key(partition: int, trace_id: str) -> str:
    return key(partition, "spans", trace_id)
