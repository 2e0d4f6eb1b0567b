"""Runs that wait for a person: asked to pause, parked by a tool, resumed, cancelled meanwhile."""

import asyncio
from typing import Any

from harness.fakes import fault, until
from integration.orchestrator.test_ownership import ASKED, CALLING, CREATED, STARTED, TURN
from integration.orchestrator.world import World, calls, create, returns, says, writes_until

from pentad.state.v1.event_pb2 import Event, RunResumed, RunStarted
from pentad.state.v1.message_pb2 import Payload
from pentad.state.v1.run_pb2 import Run, RunStatus, Settlement
from pentad.state.v1.run_service_pb2 import (
    RequestCancelRequest,
    RequestPauseRequest,
    ResumeRunRequest,
)
from pentad.tools.v1.tools_service_pb2 import InvokeToolRequest, InvokeToolResponse
from pentad_chassis.errors import FailedPrecondition, ResourceExhausted


async def pause(world: World, reason: str = "lunch") -> None:
    run_id = world.runs.only.run.run_id
    await world.runs.RequestPause(RequestPauseRequest(run_id=run_id, reason=reason), None)


async def resume(world: World, *settlements: Settlement) -> None:
    request = ResumeRunRequest(
        run_id=world.runs.only.run.run_id,
        resume_id="once",
        resumed=RunResumed(settlements=settlements),
    )
    await world.runs.ResumeRun(request, None)


async def paused(world: World) -> list[str]:
    """Return the journal of the only run once it is paused."""
    await until(lambda: world.runs.runs and world.runs.only.paused)
    return world.runs.only.kinds


class Payment:
    """A tool that must not be repeated: its first runner dies, a person is to look."""

    def __init__(self) -> None:
        self.made = 0
        self.vouched: list[int] = []

    async def __call__(self, request: InvokeToolRequest) -> InvokeToolResponse:
        self.vouched.append(request.not_done_up_to)
        if not request.not_done_up_to:
            unknown = fault(FailedPrecondition, "EFFECT_OUTCOME_UNKNOWN")
            unknown.metadata = {"attempt": "3"}
            raise unknown
        self.made += 1
        return InvokeToolResponse(result=Payload(text="paid"))


async def parked(world: World, stub: Any, payment: Payment) -> Run:
    world.tools.behaviours["add"] = payment
    world.executor.script = [calls("add"), says("done")]
    run = await create(stub)
    await paused(world)
    return run


async def test_an_answer_is_not_held_back(world: World) -> None:
    gate = asyncio.Event()
    world.executor.script = [writes_until(gate.wait, "done")]
    async with world.orchestrator() as stub:
        await create(stub)
        await until(lambda: world.executor.requests)
        await pause(world)
        await until(lambda: "pause" in world.runs.only.signalled)
        gate.set()
        stored = await world.ended()

    assert stored.kinds[-1] == "run_completed"


async def test_a_run_is_paused_before_its_tools_are_called_and_goes_on_with_them(
    world: World,
) -> None:
    gate = asyncio.Event()

    async def asks(request: Any) -> Any:
        await gate.wait()
        async for response in calls("add")(request):
            yield response

    world.executor.script = [asks, says("done")]
    async with world.orchestrator() as stub:
        await create(stub)
        await until(lambda: world.executor.requests)
        await pause(world)
        await until(lambda: "pause" in world.runs.only.signalled)
        gate.set()
        assert (await paused(world))[-2:] == ["turn_completed", "run_paused"]
        assert world.runs.only.run.status.pause.message == "lunch"
        assert world.tools.invocations == []

        await resume(world)
        stored = await world.ended()

    assert stored.kinds[4:8] == [
        "run_paused", "run_started", "run_resumed", "tool_call_started",
    ]  # fmt: skip
    assert stored.kinds[-1] == "run_completed"
    assert not stored.events[5].run_started.owner_lost
    assert world.runs.released == [], "a paused run is nobody's to hand back"


async def test_a_call_in_hand_ends_and_is_journalled_before_the_pause(world: World) -> None:
    gate = asyncio.Event()

    async def add(_: InvokeToolRequest) -> InvokeToolResponse:
        await gate.wait()
        return InvokeToolResponse(result=Payload(text="5"))

    world.tools.behaviours["add"] = add
    world.executor.script = [calls("add"), says("five")]
    async with world.orchestrator() as stub:
        await create(stub)
        await until(lambda: world.tools.invocations)
        await pause(world)
        await until(lambda: "pause" in world.runs.only.signalled)
        gate.set()
        assert (await paused(world))[-2:] == ["tool_call_completed", "run_paused"]
        await resume(world)
        stored = await world.ended()

    assert len(world.tools.invocations) == 1
    assert stored.kinds[-4:] == ["run_resumed", "turn_started", "turn_completed", "run_completed"]


async def test_a_run_whose_turn_is_to_be_repeated_is_paused_at_once(world: World) -> None:
    async def breaks(_: Any) -> Any:
        error = fault(ResourceExhausted, "MODEL_RATE_LIMITED")
        error.retry_after_s = 60.0
        raise error
        yield

    world.executor.script = [breaks, says("done")]
    async with world.orchestrator() as stub:
        await create(stub)
        await until(lambda: world.runs.only.kinds[-1] == "turn_failed")
        await pause(world)
        assert (await paused(world))[-2:] == ["turn_failed", "run_paused"]


async def test_a_run_that_nobody_had_begun_is_paused_by_whoever_takes_it(world: World) -> None:
    stored = world.runs.seed("07-a", CREATED)
    await pause(world)
    async with world.orchestrator():
        assert await paused(world) == ["run_created", "run_started", "run_paused"]
        await resume(world)
        await world.ended()

    assert stored.kinds[3:] == [
        "run_started", "run_resumed", "turn_started", "turn_completed", "run_completed",
    ]  # fmt: skip


async def test_an_owner_that_takes_a_run_over_makes_no_call_before_the_pause(world: World) -> None:
    stored = world.runs.seed("07-a", CREATED, STARTED, TURN, ASKED, CALLING)
    stored.owner = "dead"
    await pause(world)
    async with world.orchestrator():
        assert (await paused(world))[-2:] == ["run_started", "run_paused"]
        assert stored.events[-2].run_started.owner_lost
        assert world.tools.invocations == []
        await resume(world)
        await world.ended()

    assert [call.call_id for call in world.tools.invocations] == ["0.1.0"]


async def test_a_paused_run_holds_no_room_and_survives_its_orchestrator(world: World) -> None:
    async with world.orchestrator(max_runs=1, lease_s=60.0) as stub:
        await parked(world, stub, Payment())
        world.executor.script = [says("done")]
        for request_id in ("r2", "r3"):  # a poll under way may take one for which there is no room
            other = await create(stub, request_id=request_id)
            await until(lambda: world.runs.runs[other.run_id].ended)  # noqa: B023 - awaited here
    first = next(iter(world.runs.runs.values()))
    assert (first.owner, first.run.status.state) == ("", RunStatus.STATE_PAUSED)


async def test_a_call_of_which_nobody_knows_parks_the_run(world: World) -> None:
    async with world.orchestrator() as stub:
        await parked(world, stub, Payment())

    stored = world.runs.only
    assert stored.kinds[-2:] == ["effect_unknown", "run_paused"]
    (effect,) = stored.run.status.pause.unknown_effects
    assert (effect.call_id, effect.tool, effect.arguments.text) == ("0.1.0", "add", "{}")
    assert effect.attempt == 3


async def test_a_call_that_did_not_take_place_is_made_when_the_run_is_resumed(world: World) -> None:
    payment = Payment()
    async with world.orchestrator() as stub:
        await parked(world, stub, payment)
        await resume(world, Settlement(call_id="0.1.0", not_done=True))
        await world.ended()

    assert (payment.vouched, payment.made) == ([0, 3], 1)
    assert world.executor.requests[-1].messages[-1].text == "paid"


async def test_a_result_that_was_found_out_never_reaches_the_tool(world: World) -> None:
    payment = Payment()
    async with world.orchestrator() as stub:
        await parked(world, stub, payment)
        await resume(world, Settlement(call_id="0.1.0", result=Payload(text="paid, it says")))
        await world.ended()

    assert payment.vouched == [0]
    assert world.executor.requests[-1].messages[-1].text == "paid, it says"


async def test_a_failure_that_was_found_out_goes_to_the_model(world: World) -> None:
    async with world.orchestrator() as stub:
        await parked(world, stub, Payment())
        await resume(world, Settlement(call_id="0.1.0", failure="account closed"))
        await world.ended()

    message = world.executor.requests[-1].messages[-1]
    assert (message.text, message.failed) == ("TOOL_FAILED: account closed", True)


async def test_a_run_resumed_without_settlements_is_parked_again(world: World) -> None:
    async with world.orchestrator() as stub:
        await parked(world, stub, Payment())
        await resume(world)
        await until(lambda: world.runs.only.kinds.count("run_paused") == 2)

    assert world.runs.only.paused
    assert len(world.tools.invocations) == 1


async def test_a_paused_run_that_is_cancelled_ends_with_the_reason(world: World) -> None:
    async with world.orchestrator() as stub:
        run = await parked(world, stub, Payment())
        request = RequestCancelRequest(run_id=run.run_id, reason="never mind")
        await world.runs.RequestCancel(request, None)
        stored = await world.ended()

    assert stored.kinds[-2:] == ["run_started", "run_cancelled"]
    assert stored.run.status.cancel_reason == "never mind"


async def test_a_pause_and_a_drain_at_once_leave_the_run_paused(
    world: World, resting: asyncio.Event
) -> None:
    gate = asyncio.Event()

    async def add(_: InvokeToolRequest) -> InvokeToolResponse:
        await gate.wait()
        return await returns("5")(_)

    world.tools.behaviours["add"] = add
    world.executor.script = [calls("add"), says("five")]
    stop = asyncio.Event()

    async def process() -> None:
        async with world.orchestrator() as stub:
            await create(stub)
            await stop.wait()

    running = asyncio.create_task(process())
    await until(lambda: world.tools.invocations)
    await pause(world)
    await until(lambda: "pause" in world.runs.only.signalled)
    stop.set()
    await resting.wait()
    gate.set()
    await running

    assert world.runs.only.kinds[-2:] == ["tool_call_completed", "run_paused"]
    assert world.runs.released == []


async def test_a_pause_whose_answer_is_lost_is_journalled_once(world: World) -> None:
    stored = world.runs.seed("07-a", CREATED)
    await pause(world)
    world.runs.lost_answers = 1
    async with world.orchestrator():
        await until(lambda: stored.paused and not world.runs.lost_answers)
        await resume(world)
        await world.ended()

    assert stored.kinds.count("run_paused") == 1


async def test_a_run_that_kills_its_owners_is_given_up(world: World) -> None:
    lost = Event(run_started=RunStarted(owner="dead", attempt=2, owner_lost=True))
    stored = world.runs.seed("07-a", CREATED, STARTED, TURN, *[lost] * 4)
    stored.owner = "dead"
    async with world.orchestrator():
        await world.ended()

    assert stored.kinds[-2:] == ["run_started", "run_failed"]
    assert stored.run.status.failure.reason == "RUN_POISONED"
    assert world.executor.requests == []


async def test_a_suspect_that_waits_for_its_trial_can_be_ended_or_handed_back(
    world: World, resting: asyncio.Event
) -> None:
    """It may be what owners die of; until it begins, nobody dies of it."""
    lost = [Event(run_started=RunStarted(owner="dead", attempt=2, owner_lost=True))] * 3
    gate = asyncio.Event()
    world.executor.script = [writes_until(gate.wait, "done")] * 3
    stop = asyncio.Event()

    async def process() -> None:
        async with world.orchestrator():
            await stop.wait()

    running = asyncio.create_task(process())
    on_trial = world.runs.seed("07-a", CREATED, STARTED, TURN, *lost)
    await until(lambda: world.executor.requests)
    unwanted = world.runs.seed("07-b", CREATED, STARTED, TURN, *lost)
    waiting = world.runs.seed("07-c", CREATED, STARTED, TURN, *lost)
    await until(lambda: unwanted.fence and waiting.fence)

    unwanted.cancel_reason = "enough"
    await until(lambda: unwanted.ended)
    stop.set()
    await resting.wait()
    gate.set()
    await running

    assert unwanted.kinds[-1] == "run_cancelled"
    assert waiting.kinds[-1] == "run_started", "as it was found"
    assert len(waiting.events) == len(lost) + 3
    assert waiting.run.run_id in world.runs.released
    assert on_trial.kinds[-1] in {"run_completed", "turn_completed"}
    assert len(world.executor.requests) == 1
