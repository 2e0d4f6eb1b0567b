"""What a run goes through, from CreateRun to its end."""

import asyncio

import pytest
from harness.fakes import fault, until
from integration.orchestrator.world import (
    World,
    calls,
    create,
    fails,
    returns,
    says,
    writes_until,
)

from pentad.executor.v1.executor_service_pb2 import StepOutput
from pentad.orchestrator.v1.orchestrator_service_pb2 import CancelRunRequest
from pentad.state.v1.agent_pb2 import Agent, Limits
from pentad.state.v1.message_pb2 import Message, Usage
from pentad.state.v1.run_pb2 import MultiStepWorkflow, RunSpec, RunStatus, Step
from pentad_chassis.errors import AlreadyExists, NotFound, ResourceExhausted, Unavailable


async def test_a_run_without_tools_takes_one_turn(world: World) -> None:
    world.executor.script = [says("five", usage=Usage(input_tokens=7, output_tokens=2))]
    async with world.orchestrator() as stub:
        run = await create(stub)
        stored = await world.ended()

    assert run.run_id == stored.run.run_id
    assert stored.kinds == [
        "run_created", "run_started", "turn_started", "turn_completed", "run_completed",
    ]  # fmt: skip
    assert len(stored.appends) == 2, "outcome and end are one append"
    assert stored.run.status.output == "five"
    assert stored.run.status.usage == Usage(input_tokens=7, output_tokens=2)
    assert stored.events[0].run_created.agents[0].revision == 3


async def test_a_tool_result_reaches_the_next_turn(world: World) -> None:
    world.executor.script = [calls("add"), says("five")]
    async with world.orchestrator() as stub:
        await create(stub)
        stored = await world.ended()

    assert stored.kinds == [
        "run_created", "run_started", "turn_started", "turn_completed", "tool_call_started",
        "tool_call_completed", "turn_started", "turn_completed", "run_completed",
    ]  # fmt: skip
    assert [call.call_id for call in world.tools.invocations] == ["0.1.0"]
    asked, answered = world.executor.requests[1].messages
    assert asked.tool_calls[0].call_id == "0.1.0"
    assert answered == Message(
        role=Message.ROLE_TOOL, text="5", call_id="0.1.0", tool="add", model_call_id="madd"
    )
    assert stored.run.status.tool_calls == 1


async def test_calls_of_one_turn_run_side_by_side(world: World) -> None:
    both = asyncio.Barrier(2)

    async def meet(request: object) -> object:
        await both.wait()
        return await returns("met")(request)  # type: ignore[arg-type]

    world.tools.behaviours["add"] = meet  # type: ignore[assignment]
    world.executor.script = [calls("add", "add"), says("both")]
    async with world.orchestrator() as stub:
        await create(stub)
        assert (await world.ended()).run.status.output == "both"


async def test_each_step_sees_the_answers_before_it(world: World) -> None:
    world.agents.agents["writer"] = Agent(name="writer", revision=1)
    world.executor.script = [calls("add"), says("five"), says("a report on five")]
    spec = RunSpec(
        agent="clerk",
        input="all of it",
        multi_step=MultiStepWorkflow(
            steps=[
                Step(name="count", input="count"),
                Step(name="report", agent="writer", input="report"),
            ]
        ),
    )
    async with world.orchestrator() as stub:
        await create(stub, spec)
        stored = await world.ended()

    last = world.executor.requests[-1]
    assert last.agent.name == "writer"
    assert last.earlier_steps == [StepOutput(step="count", output="five")]
    assert (last.run_input, last.input, list(last.messages)) == ("all of it", "report", [])
    assert stored.kinds.count("step_completed") == 2
    assert stored.run.status.output == "a report on five"


async def test_a_session_is_read_once_and_written_before_the_end(world: World) -> None:
    spec = RunSpec(agent="clerk", input="and now?", session_id="s1")
    world.sessions.messages["s1"] = [Message(role=Message.ROLE_USER, text="before")]
    async with world.orchestrator() as stub:
        await create(stub, spec)
        stored = await world.ended()

    assert [m.text for m in world.executor.requests[0].history] == ["before"]
    assert stored.events[1].run_started.session_seq == 1
    assert [m.text for m in world.sessions.messages["s1"]] == ["before", "and now?", "done"]


async def test_text_goes_out_in_order_and_never_behind_its_turn(world: World) -> None:
    async def two_pieces_are_out() -> None:
        await until(lambda: sum(len(p.text) for p in world.runs.only.pieces) >= 4)

    world.executor.script = [writes_until(two_pieces_are_out, "né, go", "né", ", g")]
    async with world.orchestrator() as stub:
        await create(stub)
        stored = await world.ended()

    assert "".join(piece.text for piece in stored.pieces) == "né, g"
    sizes = [len(piece.text.encode()) for piece in stored.pieces]
    assert [p.offset for p in stored.pieces] == [sum(sizes[:n]) for n in range(len(sizes))]
    assert {piece.turn_seq for piece in stored.pieces} == {3}
    assert max(stored.pieces_before_seq) == 3


async def test_a_cancel_ends_the_turn_at_the_executor(world: World) -> None:
    world.executor.script = [writes_until(asyncio.Event().wait, "never", "so")]
    async with world.orchestrator() as stub:
        run = await create(stub)
        await until(lambda: world.executor.requests)
        await stub.CancelRun(
            CancelRunRequest(tenant="acme", run_id=run.run_id, reason="enough"), timeout=5.0
        )
        stored = await world.ended()
        await until(lambda: world.executor.left == 1)

    assert stored.run.status.state == RunStatus.STATE_CANCELLED
    assert stored.kinds[-1] == "run_cancelled"
    assert stored.run.status.cancel_reason == "enough"


async def test_a_cancel_ends_the_call_at_the_tools(world: World) -> None:
    async def hang(_: object) -> object:
        return await asyncio.Event().wait()

    world.tools.behaviours["add"] = hang  # type: ignore[assignment]
    world.executor.script = [calls("add")]
    async with world.orchestrator() as stub:
        run = await create(stub)
        await until(lambda: world.tools.invocations)
        await stub.CancelRun(CancelRunRequest(tenant="acme", run_id=run.run_id), timeout=5.0)
        await world.ended()
        await until(lambda: world.tools.left == 1)


async def test_a_broken_turn_is_tried_again_and_its_text_is_void(world: World) -> None:
    broken = fault(ResourceExhausted, "MODEL_RATE_LIMITED")
    broken.retry_after_s = 0.01
    world.executor.script = [fails(broken, "half"), says("whole")]
    async with world.orchestrator() as stub:
        await create(stub)
        stored = await world.ended()

    assert stored.kinds[2:6] == [
        "turn_started", "turn_failed", "turn_restarted", "turn_completed",
    ]  # fmt: skip
    assert stored.events[3].turn_failed.failure.reason == "MODEL_RATE_LIMITED"
    assert stored.run.status.output == "whole"


async def test_a_run_waits_for_an_executor_that_is_away(world: World) -> None:
    """Nothing was shown and no model was reached, so nothing is journalled of it."""
    away = fault(Unavailable, "UNAVAILABLE")
    world.executor.script = [*[fails(away)] * 4, says("at last")]
    async with world.orchestrator() as stub:
        await create(stub)
        stored = await world.ended()

    assert stored.kinds[2:4] == ["turn_started", "turn_completed"]
    assert stored.run.status.output == "at last"


async def test_the_wall_time_ends_a_run_in_the_middle_of_a_turn(world: World) -> None:
    world.executor.script = [writes_until(asyncio.Event().wait, "never")]
    spec = RunSpec(agent="clerk", input="hm", limits=Limits(max_turns=3))
    spec.limits.wall_time.FromSeconds(1)
    async with world.orchestrator() as stub:
        await create(stub, spec)
        stored = await world.ended()
        await until(lambda: world.executor.left == 1)

    assert stored.kinds[-2:] == ["deadline_reached", "run_failed"]
    assert stored.run.status.failure.reason == "WALL_TIME_REACHED"


async def test_one_request_is_one_run(world: World) -> None:
    async with world.orchestrator() as stub:
        first = await create(stub)
        await world.ended()
        del world.agents.agents["clerk"]
        again = await create(stub)
        with pytest.raises(AlreadyExists) as reused:
            await create(stub, RunSpec(agent="clerk", input="something else"))

    assert again.run_id == first.run_id
    assert reused.value.reason == "REQUEST_ID_REUSED"
    assert len(world.executor.requests) == 1


@pytest.mark.parametrize(
    ("spec", "reason", "metadata"),
    [
        (RunSpec(agent="nobody", input="x"), "AGENT_NOT_FOUND", {"agent": "nobody"}),
        (RunSpec(capability="magic", input="x"), "CAPABILITY_NOT_FOUND", {"capability": "magic"}),
        (
            RunSpec(agent="dreamer", input="x"),
            "TOOL_NOT_FOUND",
            {"agent": "dreamer", "tool": "fly"},
        ),
    ],
)
async def test_what_a_run_needs_must_exist(
    world: World, spec: RunSpec, reason: str, metadata: dict[str, str]
) -> None:
    world.agents.agents["dreamer"] = Agent(name="dreamer", tools=["add", "fly"])
    async with world.orchestrator() as stub:
        with pytest.raises(NotFound) as missing:
            await create(stub, spec)

    assert (missing.value.reason, missing.value.metadata) == (reason, metadata)
    assert not world.runs.runs
