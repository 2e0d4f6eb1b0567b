import asyncio

from integration.tools.conftest import Kit

from pentad.state.v1.trace_service_pb2 import Span


async def spans(kit: Kit) -> dict[str, Span]:
    await kit.app.aclose()  # the last of them are recorded as the service stops
    return {span.name: span for span in kit.traces.spans}


async def test_a_call_is_a_span_that_says_which(kit: Kit) -> None:
    with kit.client.span("invoke_agent clerk"):
        await kit.invoke("calculator", '{"expression": "1 + 1"}')

    found = await spans(kit)
    span = found["execute_tool calculator"]
    server = found["pentad.tools.v1.ToolsService/InvokeTool"]
    assert span.parent_span_id == server.span_id
    assert found["pentad.state.v1.EffectService/BeginEffect"].parent_span_id == span.span_id
    assert not span.failed
    assert span.attributes == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "calculator",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "1.0.0",
        "pentad.run.id": "07abc",
        "pentad.tenant": "acme",
        "pentad.tool.replayed": "False",
    }


async def test_a_failed_outcome_marks_its_span(kit: Kit) -> None:
    with kit.client.span("invoke_agent clerk"):
        await kit.invoke("calculator", '{"expression": "1 / 0"}')

    span = (await spans(kit))["execute_tool calculator"]
    assert span.failed
    assert span.attributes["error.type"] == "TOOL_FAILED"


async def test_arguments_and_results_are_never_logged(kit: Kit) -> None:
    await kit.invoke("calculator", '{"expression": "900001 * 1 +"}')
    await kit.invoke("calculator", '{"expression": "900001 * 2"}', "1.0.1")
    await kit.invoke("calculator", '{"expression": 900001}', "1.0.2")
    running = asyncio.create_task(kit.invoke("once", call_id="1.0.3"))
    await kit.probe.started.wait()
    running.cancel()
    kit.probe.release.set()
    await kit.app.aclose()

    assert "serving" in kit.log.getvalue()
    assert "900001" not in kit.log.getvalue()
    assert "1800002" not in kit.log.getvalue()
