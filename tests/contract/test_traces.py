"""What the store keeps of recent traces."""

from google.protobuf.timestamp_pb2 import Timestamp
from harness.engines import ask

from pentad.state.v1.trace_service_pb2 import Span
from pentad_state.core import StateCore
from pentad_state.partitions import key, partition_of

TRACE, OTHER = "a" * 32, "b" * 32


def span(n: int, trace_id: str = TRACE, **attributes: str) -> Span:
    begun = Timestamp(seconds=1_800_000_000 + n)
    return Span(trace_id=trace_id, span_id=f"{n:016x}", start_time=begun, attributes=attributes)


async def test_spans_come_back_by_start_time_and_once(core: StateCore, engine: str) -> None:
    await core.traces.record([span(3), span(1), span(1, OTHER)])
    await core.traces.record([span(2), span(1)])

    assert await core.traces.get(TRACE) == [span(1), span(2), span(3)]
    assert await core.traces.get(OTHER) == [span(1, OTHER)]
    assert await core.traces.get("c" * 32) == []
    ttl = ask(engine, "PTTL", key(partition_of(TRACE), "spans", TRACE))
    assert isinstance(ttl, int)
    assert 0 < ttl <= 3600 * 1000


async def test_a_span_that_was_told_before_its_end_comes_back_once(core: StateCore) -> None:
    begun, ended, lost = span(1), span(1), span(2)
    ended.end_time.CopyFrom(Timestamp(seconds=1_800_000_009))

    await core.traces.record([begun, lost])
    assert await core.traces.get(TRACE) == [begun, lost]
    await core.traces.record([ended])
    await core.traces.record([begun])

    assert await core.traces.get(TRACE) == [ended, lost]


async def test_a_trace_is_bounded(core: StateCore) -> None:
    for first in range(0, 800, 100):
        many = [span(n, text="x" * 4000) for n in range(first, first + 100)]
        await core.traces.record(many)
    await core.traces.record([span(1, OTHER, huge="x" * 20_000), span(2, OTHER)])

    assert len(await core.traces.get(TRACE)) == 500
    assert await core.traces.get(OTHER) == [span(2, OTHER)]
