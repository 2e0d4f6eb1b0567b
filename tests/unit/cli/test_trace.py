"""A trace as the command draws it."""

from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console

from pentad.gateway.v1.trace_service_pb2 import GetRunTraceResponse
from pentad.state.v1.trace_service_pb2 import Span
from pentad_cli.commands.trace import _trees, is_whole


def span(span_id: str, parent: str = "", *, took_ms: int | None = 5, **attributes: str) -> Span:
    found = Span(
        span_id=span_id,
        parent_span_id=parent,
        service="orchestrator",
        name=f"work {span_id}",
        start_time=Timestamp(seconds=100),
        attributes={name.replace("__", "."): value for name, value in attributes.items()},
    )
    if took_ms is not None:
        found.end_time.CopyFrom(Timestamp(seconds=100, nanos=took_ms * 1_000_000))
    return found


def drawn(*spans: Span) -> list[str]:
    console = Console(width=120, highlight=False)
    with console.capture() as captured:
        for tree in _trees(list(spans)):
            console.print(tree)
    return captured.get().splitlines()


def test_children_hang_below_a_span_that_never_ended() -> None:
    lines = drawn(
        span("a"),
        span("b", "a", took_ms=None),
        span("c", "b"),
        span("d", "a", pentad__linked_span="b"),
    )

    assert [line.lstrip("│└├─ ").partition("  ")[0] for line in lines] == [
        "orchestrator work a",
        "orchestrator work b",
        "orchestrator work c",
        "orchestrator work d",
    ]
    assert lines[1].rstrip().endswith("+0 ms, not ended")
    assert lines[2].rstrip().endswith("5.0 ms")
    assert "pentad.linked_span=b" in lines[3]


def test_a_trace_is_whole_when_all_its_spans_have_ended_and_have_their_parents() -> None:
    assert is_whole(GetRunTraceResponse(spans=[span("a"), span("b", "a")]))
    assert not is_whole(GetRunTraceResponse(spans=[span("a"), span("b", "gone")]))
    assert not is_whole(GetRunTraceResponse(spans=[span("a"), span("b", "a", took_ms=None)]))
    assert not is_whole(GetRunTraceResponse())
