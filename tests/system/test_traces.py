"""One run is one trace: every service, every hop, each span with its parent."""

import pytest
from harness.builders import ask
from harness.suite import Kit, until

from pentad.gateway.v1.trace_service_pb2 import GetRunTraceRequest, GetRunTraceResponse
from pentad.state.v1.trace_service_pb2 import Span

pytestmark = pytest.mark.system

SERVICES = {"gateway", "orchestrator", "executor", "tools", "state"}


async def trace_of(kit: Kit, run_id: str) -> GetRunTraceResponse:
    """Return the trace once all its spans have arrived."""
    found = GetRunTraceResponse()

    async def whole() -> bool:
        request = GetRunTraceRequest(run_id=run_id)
        found.CopyFrom(await kit.client.traces.GetRunTrace(request))
        known = {span.span_id for span in found.spans}
        parents = {span.parent_span_id for span in found.spans} - {""}
        return parents <= known and {span.service for span in found.spans} >= SERVICES

    await until(whole, 10.0, "every span's parent and every service in the trace")
    return found


async def test_a_run_is_one_trace_over_all_five_services(kit: Kit) -> None:
    events = await kit.execute(ask("clock"))
    run = await kit.get(events[0].run_id)

    found = await trace_of(kit, run.run_id)

    assert found.trace_id == run.trace_id
    assert {span.trace_id for span in found.spans} == {run.trace_id}
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
