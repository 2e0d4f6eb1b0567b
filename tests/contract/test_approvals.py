"""What runs ask of people: of several answers one counts, and the run hears that one."""

import asyncio

import pytest
from harness.approvals import DIGEST, NO, YES, asked, at, decide, take_one, waiting_for
from harness.runs import (
    COMPLETED,
    DONE,
    STARTED,
    TENANT,
    TURN,
    append,
    by,
    claimed,
    tail,
)

from pentad.state.v1.approval_pb2 import Approval, Decision
from pentad.state.v1.event_pb2 import ApprovalExpired as Expired
from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_pb2 import RunStatus, Settlement
from pentad.state.v1.run_service_pb2 import ApprovalChange
from pentad_chassis.errors import Code, InvalidArgument
from pentad_state.appends import Beside
from pentad_state.approval_errors import (
    ApprovalArgumentsChanged,
    ApprovalDecided,
    ApprovalExpired,
    ApprovalNotFound,
    ApproverNotAllowed,
)
from pentad_state.core import StateCore
from pentad_state.errors import (
    PayloadTooLarge,
    SignalUnheard,
)


async def test_an_approval_is_kept_as_it_was_asked_for(core: StateCore) -> None:
    held, approval_id = await waiting_for(core, asked(approvers=("ann",), expire_time=at(600)))

    approval = await core.approvals.get(TENANT, approval_id)

    assert approval.approval_id == approval_id
    assert (approval.run_id, approval.key) == (held.lease.run_id, "run.1.0")
    assert approval.state == Approval.STATE_PENDING
    assert (approval.question, approval.tool, approval.agent) == ("send it?", "send", "echo")
    assert approval.arguments.text == '{"to":"ann"}'
    assert approval.arguments_digest == DIGEST
    assert list(approval.approvers) == ["ann"]
    assert approval.HasField("create_time")
    assert not approval.HasField("decision")
    for tenant, wrong in (
        ("other", approval_id),
        (TENANT, f"{held.lease.run_id}/other"),
        (TENANT, held.lease.run_id),
        (TENANT, ""),
    ):
        with pytest.raises(ApprovalNotFound):
            await core.approvals.get(tenant, wrong)


async def test_a_decision_tells_the_run_by_whom_and_when(core: StateCore) -> None:
    held, approval_id = await waiting_for(core)

    approval = await decide(core, approval_id, YES, "d1", DIGEST)

    assert approval.state == Approval.STATE_APPROVED
    assert (approval.decision.comment, approval.decision.decided_by) == ("fine", "ann")
    assert approval == await core.approvals.get(TENANT, approval_id)
    taken = await take_one(core)
    assert taken.lease.run_id == held.lease.run_id
    (told,) = taken.signals.events
    assert told.approval_decided.key == "run.1.0"
    assert told.approval_decided.decision == approval.decision
    assert told.time == approval.decision.time
    assert await core.approvals.list_approvals(TENANT, Approval.STATE_PENDING, "", 10, "") == (
        [],
        "",
    )


async def test_of_two_decisions_at_once_one_counts_and_the_other_hears_whose(
    core: StateCore,
) -> None:
    _, approval_id = await waiting_for(core)

    results = await asyncio.gather(
        decide(core, approval_id, YES, "d1"),
        decide(core, approval_id, NO, "d2"),
        return_exceptions=True,
    )

    (won,) = [result for result in results if isinstance(result, Approval)]
    (lost,) = [result for result in results if isinstance(result, ApprovalDecided)]
    assert lost.code is Code.FAILED_PRECONDITION
    assert lost.metadata == {
        "approval_id": approval_id,
        "verdict": "approved" if won.state == Approval.STATE_APPROVED else "refused",
        "decided_by": won.decision.decided_by,
        "decide_time": won.decision.time.ToJsonString(),
    }
    (told,) = (await take_one(core)).signals.events
    assert told.approval_decided.decision == won.decision


async def test_a_repeated_decision_gives_what_the_first_gave(core: StateCore) -> None:
    _, approval_id = await waiting_for(core)

    first = await decide(core, approval_id, YES, "d1")
    again = await decide(core, approval_id, NO, "d1")

    assert again == first
    assert len((await take_one(core)).signals.events) == 1


async def test_a_decision_that_comes_late_changes_nothing(core: StateCore) -> None:
    held, approval_id = await waiting_for(core, asked(expire_time=at(-1)))

    with pytest.raises(ApprovalExpired) as caught:
        await decide(core, approval_id, YES, "d1")

    assert caught.value.metadata["expire_time"]
    assert (await core.approvals.get(TENANT, approval_id)).state == Approval.STATE_PENDING
    status = (await core.runs.get(TENANT, held.lease.run_id))[0].status
    assert status.state == RunStatus.STATE_WAITING, "its own timer wakes it"


async def test_an_approval_that_its_run_says_has_expired_is_not_decided(core: StateCore) -> None:
    held = await claimed(core)
    approval_id = f"{held.lease.run_id}/run.1.0"
    await append(core, held.lease, 1, STARTED, beside=Beside(approvals=[asked()]))
    expires = asked(state=Approval.STATE_EXPIRED, must_be_pending=True)
    gone = Event(approval_expired=Expired(key="run.1.0"))
    await append(core, held.lease, 2, gone, beside=Beside(approvals=[expires]))

    with pytest.raises(ApprovalExpired):
        await decide(core, approval_id, YES, "d1")

    assert (await core.approvals.get(TENANT, approval_id)).state == Approval.STATE_EXPIRED


async def test_whoever_lets_it_expire_hears_first_that_it_was_decided(core: StateCore) -> None:
    held = await claimed(core, owner="one")
    approval_id = f"{held.lease.run_id}/run.1.0"
    await append(core, held.lease, 1, STARTED, beside=Beside(approvals=[asked()]))
    await decide(core, approval_id, YES, "d1")
    expires = asked(state=Approval.STATE_EXPIRED, must_be_pending=True)
    gone = Event(approval_expired=Expired(key="run.1.0"))

    with pytest.raises(SignalUnheard) as caught:
        await append(core, held.lease, 2, gone, beside=Beside(heard=0, approvals=[expires]))

    assert caught.value.code is Code.ABORTED
    assert caught.value.metadata["approval_id"] == approval_id
    run, _ = await core.runs.get(TENANT, held.lease.run_id)
    assert run.last_seq == 2, "nothing of it was journalled"
    _, told, _ = await core.leases.renew(by("one"), [held.lease])
    (signals,) = told.signals
    assert signals.events[0].approval_decided.decision.decided_by == "ann"
    # Without it, the change is passed over and the rest takes place.
    later = asked(state=Approval.STATE_WITHDRAWN)
    await append(core, held.lease, 2, TURN, beside=Beside(heard=1, approvals=[later]))
    assert (await core.approvals.get(TENANT, approval_id)).state == Approval.STATE_APPROVED


async def test_of_a_decision_and_an_expiry_at_once_one_takes_place(core: StateCore) -> None:
    for n in range(10):
        held = await claimed(core, f"r{n}")
        approval_id = f"{held.lease.run_id}/run.1.0"
        await append(core, held.lease, 1, STARTED, beside=Beside(approvals=[asked()]))
        expires = asked(state=Approval.STATE_EXPIRED, must_be_pending=True)
        gone = Event(approval_expired=Expired(key="run.1.0"))

        expired, decided = await asyncio.gather(
            append(core, held.lease, 2, gone, beside=Beside(approvals=[expires])),
            decide(core, approval_id, YES, "d1"),
            return_exceptions=True,
        )

        stands = (await core.approvals.get(TENANT, approval_id)).state
        if stands == Approval.STATE_APPROVED:
            assert isinstance(expired, SignalUnheard)
        else:
            assert stands == Approval.STATE_EXPIRED
            assert isinstance(decided, ApprovalExpired)


async def test_only_those_named_may_decide_and_others_once_it_escalates(core: StateCore) -> None:
    named = asked("named", approvers=("eve",), escalates=("ann", at(600)))
    later = asked("later", approvers=("eve",), escalates=("ann", at(-1)))
    anybody = asked("anybody", escalates=("eve", at(-1)))
    held, approval_id = await waiting_for(core, named, later, anybody)

    with pytest.raises(ApproverNotAllowed) as caught:
        await decide(core, approval_id, YES, "d1")

    assert caught.value.code is Code.PERMISSION_DENIED
    assert caught.value.metadata["approvers"] == "eve"
    run_id = held.lease.run_id
    assert (await decide(core, f"{run_id}/later", YES, "d2")).state == Approval.STATE_APPROVED
    assert (await decide(core, f"{run_id}/anybody", YES, "d3")).state == Approval.STATE_APPROVED
    part = Decision(verdict=Decision.VERDICT_APPROVED, decided_by="ev")
    with pytest.raises(ApproverNotAllowed):
        await decide(core, approval_id, part, "d4")


async def test_an_escalation_that_its_run_journals_lets_more_people_decide(
    core: StateCore,
) -> None:
    held = await claimed(core)
    first = asked(approvers=("eve",))
    await append(core, held.lease, 1, STARTED, beside=Beside(approvals=[first]))
    made = await core.approvals.get(TENANT, f"{held.lease.run_id}/run.1.0")
    more = asked(approvers=("eve", "ann"), must_be_pending=True)
    await append(core, held.lease, 2, TURN, beside=Beside(approvals=[more]))

    decided = await decide(core, made.approval_id, YES, "d1")

    assert list(decided.approvers) == ["eve", "ann"]
    assert decided.create_time == made.create_time


async def test_what_was_seen_must_be_what_is_asked_for(core: StateCore) -> None:
    _, approval_id = await waiting_for(core)

    with pytest.raises(ApprovalArgumentsChanged) as caught:
        await decide(core, approval_id, YES, "d1", b"\x02" * 32)

    assert caught.value.reason == "ARGUMENTS_CHANGED"
    assert (await decide(core, approval_id, YES, "d2")).state == Approval.STATE_APPROVED


async def test_decisions_are_bounded(core: StateCore) -> None:
    _, approval_id = await waiting_for(core)

    for wrong, error in (
        (Decision(decided_by="ann"), InvalidArgument),
        (Decision(verdict=Decision.VERDICT_APPROVED), InvalidArgument),
        (Decision(verdict=YES.verdict, decided_by="a\nb"), InvalidArgument),
        (Decision(verdict=YES.verdict, decided_by="ann", comment="x" * 4097), PayloadTooLarge),
        (
            Decision(
                verdict=YES.verdict,
                decided_by="ann",
                settlements=[Settlement(call_id="run.1.0", not_done=True)],
            ),
            InvalidArgument,
        ),
    ):
        with pytest.raises(error):
            await decide(core, approval_id, wrong, "d1")

    assert (await core.approvals.get(TENANT, approval_id)).state == Approval.STATE_PENDING


async def test_what_is_no_approval_is_not_asked_for(core: StateCore) -> None:
    held = await claimed(core)
    unnamed, decided, foreign = asked(""), asked(state=Approval.STATE_APPROVED), asked()
    foreign.approval.run_id = "another"

    for wrong in (unnamed, decided, foreign, asked(approvers=("a\nb",)), ApprovalChange()):
        with pytest.raises(InvalidArgument):
            await append(core, held.lease, 1, TURN, beside=Beside(approvals=[wrong]))
    with pytest.raises(InvalidArgument):
        await append(core, held.lease, 1, TURN, beside=Beside(approvals=[asked()] * 201))

    assert (await core.runs.get(TENANT, held.lease.run_id))[0].last_seq == 1


async def test_a_decision_outlives_its_run_s_owners(core: StateCore) -> None:
    held, approval_id = await waiting_for(core)
    await decide(core, approval_id, YES, "d1")
    (dead,), _ = await core.schedule.poll(by("dies", 0.2), 1, 5)

    taken = await take_one(core)

    assert taken.signals == dead.signals
    journalled = Event.FromString(taken.signals.events[0].SerializeToString())
    end = Beside(heard=1)
    await append(core, taken.lease, taken.last_seq, journalled, DONE, status=COMPLETED, beside=end)
    kinds = [event.WhichOneof("kind") for event in await tail(core, held.lease.run_id)]
    assert kinds.count("approval_decided") == 1
