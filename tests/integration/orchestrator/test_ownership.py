"""Who works on a run: takeovers, lost leases, outages, drains."""

import asyncio

from harness.fakes import until
from integration.orchestrator.world import (
    World,
    calls,
    create,
    returns,
    says,
    writes_until,
)

from pentad.state.v1.agent_pb2 import Agent
from pentad.state.v1.event_pb2 import (
    Event,
    PlannedStep,
    RunCreated,
    RunStarted,
    ToolCallStarted,
    TurnCompleted,
    TurnStarted,
)
from pentad.state.v1.message_pb2 import Message, ToolCall
from pentad.state.v1.run_pb2 import RunSpec, RunStatus

CREATED = Event(
    run_created=RunCreated(
        tenant="acme",
        spec=RunSpec(agent="clerk", input="what is 2 + 3?"),
        steps=[PlannedStep(name="run", agent="clerk", input="what is 2 + 3?")],
        agents=[Agent(name="clerk", revision=3, tools=["add"])],
    )
)
STARTED = Event(run_started=RunStarted(owner="dead", attempt=1))
TURN = Event(turn_started=TurnStarted(step="run", turn=1))
ASKED = Event(
    turn_completed=TurnCompleted(
        step="run",
        turn=1,
        message=Message(tool_calls=[ToolCall(call_id="0.1.0", tool="add")]),
    )
)
CALLING = Event(tool_call_started=ToolCallStarted(step="run", call_id="0.1.0", tool="add"))


async def test_a_turn_cut_short_by_a_crash_is_restarted(world: World) -> None:
    stored = world.runs.seed("07-a", CREATED, STARTED, TURN)
    async with world.orchestrator():
        await world.ended()

    assert stored.kinds[3:] == ["run_started", "turn_restarted", "turn_completed", "run_completed"]
    assert stored.events[3].run_started.attempt == 2
    assert stored.events[4].turn_restarted.attempt == 2


async def test_a_call_cut_short_by_a_crash_is_made_again_under_its_id(world: World) -> None:
    stored = world.runs.seed("07-a", CREATED, STARTED, TURN, ASKED, CALLING)
    async with world.orchestrator():
        await world.ended()

    assert [call.call_id for call in world.tools.invocations] == ["0.1.0"]
    assert stored.kinds[5:7] == ["run_started", "tool_call_completed"]
    assert stored.kinds.count("tool_call_started") == 1


async def test_a_stale_fence_stops_the_run_at_once(world: World) -> None:
    """The call that is still running is cancelled, and nothing is ever appended again."""
    gate = asyncio.Event()

    async def hang(_: object) -> object:
        return await asyncio.Event().wait()

    async def wait_then_return(request: object) -> object:
        await gate.wait()
        return await returns("5")(request)  # type: ignore[arg-type]

    world.agents.agents["clerk"].tools.append("hang")
    world.tools.behaviours.update(add=wait_then_return, hang=hang)  # type: ignore[arg-type]
    world.executor.script = [calls("add", "hang")]
    async with world.orchestrator() as stub:
        run = await create(stub)
        await until(lambda: len(world.tools.invocations) == 2)
        before = world.runs.only.kinds
        world.runs.take_away(run.run_id)
        gate.set()
        await until(lambda: world.tools.left == 1)

    assert world.runs.only.kinds == before
    assert world.runs.released == []


async def test_a_run_that_another_owner_has_is_stopped_by_the_renewal(world: World) -> None:
    world.executor.script = [writes_until(asyncio.Event().wait, "never")]
    async with world.orchestrator(lease_s=0.5) as stub:
        run = await create(stub)
        await until(lambda: world.executor.requests)
        world.runs.take_away(run.run_id)
        await until(lambda: world.executor.left == 1)


async def test_work_under_a_lease_that_cannot_be_renewed_stops(world: World) -> None:
    """In time, as `OwnedRuns` is tested to see to."""
    world.executor.script = [writes_until(asyncio.Event().wait, "never")]
    async with world.orchestrator(lease_s=1.0) as stub:
        await create(stub)
        await until(lambda: world.executor.requests)
        world.runs.cut_off = world.runs.only.owner
        await until(lambda: world.executor.left == 1)


async def test_a_run_whose_owner_is_cut_off_goes_on_elsewhere(world: World) -> None:
    world.executor.script = [writes_until(asyncio.Event().wait, "never"), says("done")]
    async with world.orchestrator(lease_s=1.0) as first:
        await create(first)
        await until(lambda: world.executor.requests)
        stored = world.runs.only
        world.runs.cut_off = stored.owner
        async with world.orchestrator():
            await world.ended()

    assert stored.fence == 2
    assert stored.kinds[3:] == ["run_started", "turn_restarted", "turn_completed", "run_completed"]


async def test_leases_are_renewed_while_a_run_lasts(world: World) -> None:
    gate = asyncio.Event()
    world.executor.script = [writes_until(gate.wait, "done")]
    async with world.orchestrator(lease_s=2.0) as stub:
        await create(stub)
        first = world.runs.only.expires_at
        await until(lambda: world.runs.only.expires_at > first + 1.0)
        gate.set()
        assert (await world.ended()).fence == 1


async def test_an_append_whose_answer_is_lost_counts_once(world: World) -> None:
    world.runs.lost_answers = 3
    async with world.orchestrator() as stub:
        await create(stub)
        stored = await world.ended()

    assert stored.kinds == [
        "run_created", "run_started", "turn_started", "turn_completed", "run_completed",
    ]  # fmt: skip


async def test_a_run_outlasts_an_outage_of_the_store(world: World) -> None:
    gate = asyncio.Event()
    world.executor.script = [writes_until(gate.wait, "done")]
    async with world.orchestrator() as stub:
        await create(stub)
        await until(lambda: world.executor.requests)
        world.runs.away = True
        gate.set()
        await until(lambda: world.runs.refused >= 5)
        world.runs.away = False
        assert (await world.ended()).run.status.output == "done"


async def test_a_full_process_takes_no_more_and_still_hears_of_cancels(world: World) -> None:
    world.executor.script = [writes_until(asyncio.Event().wait, "never")]
    async with world.orchestrator(max_runs=1, claim_wait_s=0.1, drain_grace_s=0.1) as stub:
        await create(stub, request_id="r1")
        await until(lambda: 0 in world.runs.polls)
        await create(stub, request_id="r2")
        first, second = world.runs.runs.values()
        polls = len(world.runs.polls)
        await until(lambda: len(world.runs.polls) > polls + 1)
        assert second.run.status.state == RunStatus.STATE_QUEUED

        first.cancel_reason = "make room"
        await until(lambda: first.ended)
        await until(lambda: second.run.status.state == RunStatus.STATE_RUNNING)


async def test_a_drain_lets_the_turn_end_and_hands_the_run_on(
    world: World, resting: asyncio.Event
) -> None:
    gate = asyncio.Event()

    async def add(_: object) -> object:
        await gate.wait()
        return await returns("5")(_)  # type: ignore[arg-type]

    world.tools.behaviours["add"] = add  # type: ignore[assignment]
    world.executor.script = [calls("add"), says("five")]
    stop = asyncio.Event()

    async def first_process() -> None:
        async with world.orchestrator() as stub:
            await create(stub)
            await stop.wait()

    first = asyncio.create_task(first_process())
    await until(lambda: world.tools.invocations)
    world.runs.claimable = False
    stop.set()
    await resting.wait()
    gate.set()
    await first
    stored = world.runs.only
    assert stored.kinds[-1] == "tool_call_completed", "nothing new was begun"
    assert world.runs.released == [stored.run.run_id]

    world.runs.claimable = True
    async with world.orchestrator():
        await world.ended()
    assert stored.kinds[6:8] == ["run_started", "turn_started"]
    assert len(world.tools.invocations) == 1


async def test_a_drain_cuts_off_what_does_not_end(world: World) -> None:
    world.executor.script = [writes_until(asyncio.Event().wait, "never")]
    async with world.orchestrator(drain_grace_s=0.1) as stub:
        await create(stub)
        await until(lambda: world.executor.requests)

    assert world.executor.left == 1
    assert world.runs.released == [world.runs.only.run.run_id]
    assert not world.runs.only.ended


async def test_one_run_with_a_journal_of_nonsense_leaves_the_others_alone(world: World) -> None:
    nonsense = world.runs.seed("07-bad", CREATED, STARTED, CALLING)
    healthy = world.runs.seed("07-good", CREATED)
    async with world.orchestrator():
        await until(lambda: nonsense.ended and healthy.ended)

    assert nonsense.run.status.failure.reason == "INTERNAL"
    assert healthy.run.status.output == "done"


async def test_events_of_a_later_version_are_left_to_it(world: World) -> None:
    stored = world.runs.seed("07-new", CREATED, STARTED, Event())
    async with world.orchestrator():
        await until(lambda: stored.fence == 1)

    assert len(stored.events) == 3
