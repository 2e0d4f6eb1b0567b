"""What became of calls is asked as an approval, and answered by a decision or by a resume."""

import pytest
from harness.approvals import NO, YES, decide, take_one
from harness.runs import (
    PARKED,
    RESTS,
    TENANT,
    append,
    claimed,
)

from pentad.state.v1.approval_pb2 import Approval, Decision
from pentad.state.v1.event_pb2 import RunResumed
from pentad.state.v1.run_pb2 import Settlement
from pentad.state.v1.run_service_pb2 import ApprovalChange
from pentad_chassis.errors import InvalidArgument
from pentad_state.appends import Beside
from pentad_state.approval_errors import (
    ApprovalDecided,
    ApprovalWithdrawn,
)
from pentad_state.core import StateCore
from pentad_state.errors import (
    SettlementMissing,
)


def in_doubt() -> ApprovalChange:
    """What a run asks that rests for a call in doubt."""
    approval = Approval(
        key="pause/2",
        kind=Approval.KIND_UNKNOWN_EFFECTS,
        state=Approval.STATE_PENDING,
        unknown_effects=PARKED.pause.unknown_effects,
    )
    return ApprovalChange(approval=approval)


async def test_a_decision_on_unknown_effects_resumes_the_run(core: StateCore) -> None:
    held = await claimed(core)
    run_id = held.lease.run_id
    approval_id = f"{run_id}/pause/2"
    await append(core, held.lease, 1, RESTS, status=PARKED, beside=Beside(approvals=[in_doubt()]))

    with pytest.raises(SettlementMissing):
        await decide(core, approval_id, YES, "d1")
    odd = Decision(
        verdict=Decision.VERDICT_APPROVED,
        decided_by="ann",
        settlements=[
            Settlement(call_id="run.1.0", not_done=True),
            Settlement(call_id="other", not_done=True),
        ],
    )
    with pytest.raises(InvalidArgument):
        await decide(core, approval_id, odd, "d2")
    settled = Decision(
        verdict=Decision.VERDICT_APPROVED,
        decided_by="ann",
        comment="I asked them",
        settlements=[Settlement(call_id="run.1.0", not_done=True)],
    )
    approval = await decide(core, approval_id, settled, "d3")

    assert approval.state == Approval.STATE_APPROVED
    taken = await take_one(core)
    assert taken.resumed == RunResumed(settlements=settled.settlements, reason="I asked them")
    assert not taken.HasField("signals")
    with pytest.raises(ApprovalDecided):
        await decide(core, approval_id, NO, "d4")


async def test_refusing_unknown_effects_has_them_count_as_failed(core: StateCore) -> None:
    held = await claimed(core)
    await append(core, held.lease, 1, RESTS, status=PARKED, beside=Beside(approvals=[in_doubt()]))

    await decide(core, f"{held.lease.run_id}/pause/2", NO, "d1")

    (settlement,) = (await take_one(core)).resumed.settlements
    assert (settlement.call_id, settlement.failure) == ("run.1.0", "too much")


async def test_resuming_a_run_decides_what_it_asked_about_its_effects(core: StateCore) -> None:
    held = await claimed(core)
    run_id = held.lease.run_id
    await append(core, held.lease, 1, RESTS, status=PARKED, beside=Beside(approvals=[in_doubt()]))
    found = [Settlement(call_id="run.1.0", not_done=True)]

    await core.wishes.resume(TENANT, run_id, "once", RunResumed(settlements=found, reason="why"))

    approval = await core.approvals.get(TENANT, f"{run_id}/pause/2")
    assert approval.state == Approval.STATE_APPROVED
    assert (list(approval.decision.settlements), approval.decision.comment) == (found, "why")
    with pytest.raises(ApprovalDecided):
        await decide(core, approval.approval_id, YES, "d1")


async def test_what_a_cancelled_run_asked_about_its_effects_is_not_needed(
    core: StateCore,
) -> None:
    held = await claimed(core)
    run_id = held.lease.run_id
    await append(core, held.lease, 1, RESTS, status=PARKED, beside=Beside(approvals=[in_doubt()]))
    await core.wishes.request_cancel(TENANT, run_id, "enough")

    with pytest.raises(ApprovalWithdrawn):
        await decide(core, f"{run_id}/pause/2", NO, "d1")
