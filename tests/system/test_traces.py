"""One run is one trace: every service, every hop, each span with its parent."""

import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from harness.builders import ask, gated
from harness.faults import LOSE_ONE_REQUEST
from harness.suite import (
    BOTH_TRANSPORTS,
    TRANSPORTS,
    Kit,
    Suite,
    example_agents,
    until,
)
from harness.wired import Hop, Wired, open_wired

from pentad.gateway.v1.trace_service_pb2 import GetRunTraceRequest, GetRunTraceResponse
from pentad.state.v1.trace_service_pb2 import Span
from pentad_chassis.errors import Unavailable
from pentad_chassis.semconv import PENTAD_LINKED_SPAN
from pentad_cli.follow import follow

pytestmark = pytest.mark.system

ON_BOTH = pytest.mark.parametrize("suite", BOTH_TRANSPORTS, indirect=True)

TRIES = 5
"""Of having a certain request lost: one of the background may come before it."""

SERVICES = {"gateway", "orchestrator", "executor", "tools", "state"}


async def trace_of(kit: Kit, run_id: str) -> GetRunTraceResponse:
    """Return the trace once all its spans have arrived."""
    found = GetRunTraceResponse()

    async def whole() -> bool:
        request = GetRunTraceRequest(run_id=run_id)
        found.CopyFrom(await kit.client.traces.GetRunTrace(request))
        return is_whole(found.spans)

    await until(whole, what="the trace is whole")
    return found


def is_whole(spans: Sequence[Span]) -> bool:
    """Whether nothing is still to come: a service tells of its spans in the order of their ends."""
    owned = [span.HasField("end_time") for span in owners(spans)]
    heard = {span.parent_span_id for span in spans if is_served(span)}
    called = {span.span_id for span in spans if is_call(span) and not span.failed}
    return any(owned) and all(owned) and called <= heard and not cut_off(spans)


@ON_BOTH
async def test_a_run_is_one_trace_over_all_five_services(kit: Kit) -> None:
    events = await kit.execute(ask("clock"))
    run = await kit.get(events[0].run_id)

    found = await trace_of(kit, run.run_id)

    assert found.trace_id == run.trace_id
    assert {span.trace_id for span in found.spans} == {run.trace_id}
    assert {span.service for span in found.spans} == SERVICES
    assert len({span.span_id for span in found.spans}) == len(found.spans)
    roots = [span for span in found.spans if not span.parent_span_id]
    assert [(r.service, r.kind) for r in roots] == [("gateway", Span.KIND_SERVER)]


async def test_a_trace_tells_who_did_what(kit: Kit) -> None:
    events = await kit.execute(ask("clock"))

    found = await trace_of(kit, events[0].run_id)

    by_name = {span.name: span.service for span in found.spans if "/" not in span.name}
    assert by_name["invoke_agent clock"] == "orchestrator"
    assert by_name["chat clock"] == "executor"
    assert by_name["execute_tool current_time"] == "tools"


@ON_BOTH
async def test_every_call_is_seen_from_both_sides(kit: Kit) -> None:
    events = await kit.execute(ask("clock"))

    spans = (await trace_of(kit, events[0].run_id)).spans

    served = [span for span in spans if span.kind == Span.KIND_SERVER and span.parent_span_id]
    by_id = {span.span_id: span for span in spans}
    assert served
    for span in served:
        caller = by_id[span.parent_span_id]
        assert caller.kind == Span.KIND_CLIENT
        assert caller.name == span.name
        assert caller.service != span.service


@ON_BOTH
async def test_a_run_crosses_every_hop_in_one_tree(kit: Kit) -> None:
    events = await kit.execute(ask("clock"))

    spans = (await trace_of(kit, events[0].run_id)).spans

    assert hops_of(spans) >= {
        ("gateway", "orchestrator"),
        ("gateway", "state"),
        ("orchestrator", "state"),
        ("orchestrator", "executor"),
        ("orchestrator", "tools"),
        ("tools", "state"),
    }
    served = Counter(span.name.rpartition("/")[2] for span in spans if is_served(span))
    assert served["ExecuteRun"] == served["CreateRun"] / 2 == 1, "at orchestrator and state"
    assert served["ExecuteTurn"] == 2
    assert served["InvokeTool"] == served["BeginEffect"] == served["CompleteEffect"] == 1
    heard = Counter(span.parent_span_id for span in spans if is_served(span))
    assert all(heard[span.span_id] == 1 for span in spans if is_call(span)), "served once"


@pytest.fixture(params=TRANSPORTS)
async def wired(request: pytest.FixtureRequest) -> AsyncIterator[Wired]:
    with tempfile.TemporaryDirectory(prefix="pentad-") as folder:
        async with open_wired(Path(folder), link=request.param) as opened:
            await opened.kit.apply(*example_agents())
            for _ in range(2):  # so that every hop has its connection, also that of the registry
                await opened.kit.execute(ask("clock"))
                await opened.quiet(("orchestrator", "executor"))
            yield opened


@pytest.mark.parametrize(
    ("hop", "method"),
    [
        (("gateway", "orchestrator"), "CreateRun"),
        (("orchestrator", "tools"), "ListTools"),
        (("orchestrator", "executor"), "ExecuteTurn"),
        (("tools", "state"), "BeginEffect"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else value,
)
async def test_a_call_that_was_repeated_shows_both_attempts_and_one_that_was_served(
    wired: Wired, hop: Hop, method: str
) -> None:
    for _ in range(TRIES):
        await wired.quiet(hop)
        await wired.proxies[hop].begin(LOSE_ONE_REQUEST)
        events = await wired.kit.execute(ask("clock"))
        assert events[-1].HasField("run_completed")
        spans = (await trace_of(wired.kit, events[0].run_id)).spans
        lost, *others = [
            span
            for span in sorted(spans, key=lambda span: span.start_time.ToNanoseconds())
            if (span.service, span.kind) == (hop[0], Span.KIND_CLIENT) and method in span.name
        ]
        if lost.failed:
            break

    assert lost.failed, "the call was lost at last"
    assert not others[0].failed
    assert lost.parent_span_id == others[0].parent_span_id
    heard = Counter(span.parent_span_id for span in spans if is_served(span))
    assert (heard[lost.span_id], heard[others[0].span_id]) == (0, 1)


async def test_a_takeover_goes_on_in_the_same_trace(five: Suite, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with five.open() as kit:
        await kit.apply(gated("inherited", str(gate)))
        run = await kit.create(ask("inherited"))
        await until_owned(kit, run.run_id)
        (before,) = five.children("pentad_orchestrator ")

        five.kill9_child(before)
        gate.touch()
        events = [event async for event in follow(kit.client, run.run_id)]

        found = await whole_trace(kit, run.run_id)
    assert events[-1].HasField("run_completed"), events[-1]
    assert {span.trace_id for span in found} == {run.trace_id}
    first, second = owners(found)
    assert second.parent_span_id == first.parent_span_id
    assert second.attributes[PENTAD_LINKED_SPAN] == first.span_id
    assert second.HasField("end_time")
    assert not first.HasField("end_time"), "nobody was left to end it"
    # Calls that the dead owner had under way: it could not tell of them, those it called can.
    assert {span.service for span in cut_off(found)} <= {"executor", "tools", "state"}


async def until_owned(kit: Kit, run_id: str) -> None:
    """Return once the run waits in its tool, and its owner has told of itself."""
    async for event in kit.events(run_id):
        if event.HasField("tool_call_started"):
            break

    async def told() -> bool:
        found = await whole_trace(kit, run_id)
        known = {span.span_id for span in found}
        return [owner.parent_span_id in known for owner in owners(found)] == [True]

    await until(told, what="the owner's span is there")


async def whole_trace(kit: Kit, run_id: str) -> Sequence[Span]:
    """Return the spans there are, once all who live have told of theirs if the run has ended."""
    found: list[Span] = []

    async def told() -> bool:
        try:
            response = await kit.client.traces.GetRunTrace(GetRunTraceRequest(run_id=run_id))
        except Unavailable:
            return False
        run = await kit.get(run_id)
        found[:] = response.spans
        if not run.HasField("end_time"):
            return True
        ended = [owner.HasField("end_time") for owner in owners(found)][-1:] == [True]
        return ended and all(map(is_served, cut_off(found)))

    await until(told, what="the trace is there")
    return found


def cut_off(spans: Sequence[Span]) -> list[Span]:
    """Return the spans whose parents nobody has told of."""
    known = {span.span_id for span in spans} | {""}
    return [span for span in spans if span.parent_span_id not in known]


def owners(spans: Sequence[Span]) -> list[Span]:
    """Return the spans of those who owned the run, in turn."""
    found = [span for span in spans if span.name.startswith("invoke_agent")]
    return sorted(found, key=lambda span: span.start_time.ToNanoseconds())


def hops_of(spans: Sequence[Span]) -> set[Hop]:
    """Return who called whom."""
    by_id = {span.span_id: span for span in spans}
    served = [span for span in spans if is_served(span) and span.parent_span_id]
    return {(by_id[span.parent_span_id].service, span.service) for span in served}


def is_served(span: Span) -> bool:
    return bool(span.kind == Span.KIND_SERVER)


def is_call(span: Span) -> bool:
    """Whether it is an attempt at a call to another service."""
    return bool(span.kind == Span.KIND_CLIENT and "/" in span.name)
