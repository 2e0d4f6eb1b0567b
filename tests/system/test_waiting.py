"""Runs that wait for people and times: through restarts, updates and everything else."""

import asyncio
import re
from collections.abc import Callable

import pytest
from harness.builders import agent, answer, ask, call
from harness.suite import Kit, Suite, kinds, until

from pentad.gateway.v1.approval_service_pb2 import (
    DecideApprovalRequest,
    GetApprovalRequest,
    ListApprovalsRequest,
)
from pentad.gateway.v1.run_service_pb2 import CancelRunRequest
from pentad.state.v1.agent_pb2 import Agent
from pentad.state.v1.approval_pb2 import Approval, Decision
from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.message_pb2 import Payload
from pentad.state.v1.run_pb2 import Run, RunStatus, Waiting
from pentad_chassis.errors import FailedPrecondition, ServiceError

pytestmark = pytest.mark.system

WAITING = RunStatus.STATE_WAITING
EACH = ["one", pytest.param("five", marks=pytest.mark.long)]


def payer(word: str) -> Agent:
    """Return an agent that pays once somebody agrees; `word` tells its revisions apart."""
    policy = {"tool": "notebook_append", "policy": {"condition": "arguments.line != 'free'"}}
    return agent(
        "payer",
        call("pay", "notebook_append", notebook="payments", line="42 euros"),
        answer(f"{word}: paid", "pay"),
        answer(f"{word}: not paid", after_failure="pay"),
        approvals=[policy],
    )


def asker(name: str = "asker") -> Agent:
    return agent(
        name,
        call("size", "ask_human", question="Which size?", schema={"enum": ["S", "M"]}),
        answer("size {size}", "size"),
        answer("no size: {size}", after_failure="size"),
    )


def sleeper(seconds: float) -> Agent:
    return agent("sleeper", call("nap", "sleep", seconds=seconds), answer("awake", "nap"))


async def waiting(kit: Kit, run_id: str) -> Run:
    """Return the run once nobody holds it."""

    async def is_waiting() -> bool:
        try:
            return (await kit.get(run_id)).status.state == WAITING
        except ServiceError:
            return False

    await until(is_waiting, 30.0, f"run {run_id} waits")
    return await kit.get(run_id)


async def let_go(kit: Kit, run_id: str) -> Waiting:
    """Return what a run waits for once it was let go of, whether or not it has gone on."""
    async for event in kit.events(run_id):
        if event.HasField("run_waiting"):
            return event.run_waiting.waiting
    raise AssertionError(f"run {run_id} did not wait")


async def approval_of(kit: Kit, run: Run) -> Approval:
    """Return the only approval that a run waits for."""
    (approval_id,) = run.status.waiting.approval_ids
    found = await kit.client.approvals.GetApproval(GetApprovalRequest(approval_id=approval_id))
    return found.approval


def approves(approval: Approval, **fields: object) -> DecideApprovalRequest:
    """Return what somebody says who agrees to what they saw."""
    request = DecideApprovalRequest(
        approval_id=approval.approval_id,
        verdict=Decision.VERDICT_APPROVED,
        arguments_digest=approval.arguments_digest,
    )
    request.MergeFrom(DecideApprovalRequest(**fields))  # type: ignore[arg-type]
    return request


def payments(suite: Suite) -> list[str]:
    return [
        line.rpartition(" [")[0]
        for path in suite.notebooks.glob("*/payments.txt")
        for line in path.read_text("utf-8").splitlines()
    ]


@pytest.mark.parametrize("new_suite", EACH, indirect=True)
async def test_runs_wait_through_a_restart_and_an_update(
    new_suite: Callable[..., Suite],
) -> None:
    """Two people agree at once: one wins, the other hears so; changed arguments are refused."""
    made = new_suite()
    async with made.open() as kit:
        await kit.apply(payer("first"), sleeper(4.0))
        paying, sleeping = [await kit.create(ask(name)) for name in ("payer", "sleeper")]
        await waiting(kit, paying.run_id)
        waits = await let_go(kit, sleeping.run_id)
        assert waits.HasField("wake_time")
    made.kill9()
    made.restart()

    async with made.open() as kit:
        await kit.apply(payer("second"))
        approval = await approval_of(kit, await waiting(kit, paying.run_id))
        assert (approval.tool, approval.agent) == ("notebook_append", "payer")
        assert "42 euros" in approval.arguments.text
        assert not payments(made)
        await refuses_changed_arguments(kit, approval)
        late = await approve_twice(kit, approval)
        paid, awake = [await kit.wait(run.run_id) for run in (paying, sleeping)]
        events, slept = [await kit.tail(run.run_id) for run in (paying, sleeping)]

    assert (late.reason, bool(late.metadata["decided_by"])) == ("APPROVAL_DECIDED", True)
    assert (paid.status.output, awake.status.output) == ("first: paid", "awake")
    assert payments(made) == ["42 euros"]
    assert kinds(events).count("approval_decided") == 1
    assert kinds(events).index("approval_decided") < kinds(events).index("tool_call_started")
    woke_in_time(slept)


async def refuses_changed_arguments(kit: Kit, approval: Approval) -> None:
    request = approves(approval)
    request.arguments_digest = approval.arguments_digest[::-1]
    with pytest.raises(FailedPrecondition) as changed:
        await kit.client.approvals.DecideApproval(request)
    assert changed.value.reason == "ARGUMENTS_CHANGED"


async def approve_twice(kit: Kit, approval: Approval) -> ServiceError:
    """Have two people agree at once; return what the later one hears."""
    decisions = [approves(approval, comment=f"number {n}") for n in range(2)]
    both = await asyncio.gather(
        *map(kit.client.approvals.DecideApproval, decisions), return_exceptions=True
    )
    (late,) = [each for each in both if isinstance(each, BaseException)]
    assert isinstance(late, FailedPrecondition)
    return late


def woke_in_time(events: list[Event]) -> None:
    (started,) = [e for e in events if e.HasField("timer_started")]
    (fired,) = [e for e in events if e.HasField("timer_fired")]
    assert fired.time.ToNanoseconds() >= started.timer_started.fire_time.ToNanoseconds()
    assert "turn_restarted" not in kinds(events)


async def test_a_call_that_is_refused_is_not_made_and_the_model_goes_on(
    kit: Kit, suite: Suite
) -> None:
    await kit.apply(payer("only"))
    before = payments(suite)
    run = await kit.create(ask("payer"))
    approval = await approval_of(kit, await waiting(kit, run.run_id))
    listed = await kit.client.approvals.ListApprovals(ListApprovalsRequest(run_id=run.run_id))
    assert [a.approval_id for a in listed.approvals] == [approval.approval_id]
    request = approves(approval, comment="too dear")
    request.verdict = Decision.VERDICT_REFUSED
    await kit.client.approvals.DecideApproval(request)
    ended = await kit.wait(run.run_id)
    events = await kit.tail(run.run_id)

    assert ended.status.output == "only: not paid"
    (completed,) = [e.tool_call_completed for e in events if e.HasField("tool_call_completed")]
    assert completed.error.reason == "TOOL_CALL_REFUSED"
    assert "too dear" in completed.error.message
    assert payments(suite) == before


async def test_a_decision_that_comes_at_once_is_heard_by_the_owner(kit: Kit) -> None:
    """A run is let go of only after a while; until then its owner hears."""
    await kit.apply(asker())
    run = await kit.create(ask("asker"))
    events = kit.events(run.run_id)
    async for event in events:
        if event.HasField("approval_requested"):
            answered = Payload(content_type="application/json", text='"M"')
            asked = event.approval_requested.approval
            await kit.client.approvals.DecideApproval(approves(asked, answer=answered))
            break
    rest = [event async for event in events]

    assert rest[-1].run_completed.output == "size M"
    assert kinds(rest)[0] in {"approval_decided", "run_waiting"}


async def test_a_question_is_answered_by_a_person(kit: Kit) -> None:
    await kit.apply(asker())
    run = await waiting(kit, (await kit.create(ask("asker"))).run_id)
    approval = await approval_of(kit, run)
    assert (approval.kind, approval.question) == (Approval.KIND_QUESTION, "Which size?")
    answered = Payload(content_type="application/json", text='"S"')
    await kit.client.approvals.DecideApproval(approves(approval, answer=answered))

    assert (await kit.wait(run.run_id)).status.output == "size S"


async def test_a_waiting_run_is_cancelled_and_asks_nobody_any_more(kit: Kit) -> None:
    await kit.apply(asker())
    run = await waiting(kit, (await kit.create(ask("asker"))).run_id)
    (approval_id,) = run.status.waiting.approval_ids
    await kit.client.runs.CancelRun(CancelRunRequest(run_id=run.run_id, reason="never mind"))
    ended = await kit.wait(run.run_id)
    found = await kit.client.approvals.GetApproval(GetApprovalRequest(approval_id=approval_id))

    assert ended.status.state == RunStatus.STATE_CANCELLED
    assert found.approval.state == Approval.STATE_WITHDRAWN


async def test_a_run_whose_time_is_over_while_it_sleeps_ends(kit: Kit) -> None:
    await kit.apply(sleeper(3600))
    spec = ask("sleeper")
    spec.limits.wall_time.FromSeconds(2)
    ended = await kit.wait((await kit.create(spec)).run_id)

    assert ended.status.failure.reason == "WALL_TIME_REACHED"


@pytest.mark.long
async def test_the_example_of_the_docs_runs(kit: Kit) -> None:
    run = await kit.wait((await kit.create(ask("patient", "Is it later?"))).run_id)

    before, after = re.findall(r"T([0-9:]+)", run.status.output)
    assert before != after
