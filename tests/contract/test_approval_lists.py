"""Approvals are listed as long as their runs, by tenant, state and age."""

import asyncio
from itertools import count

import pytest
from harness.approvals import ANY, NO, YES, asked, decide, waiting_for
from harness.engines import ask
from harness.runs import (
    COMPLETED,
    DONE,
    STARTED,
    TENANT,
    append,
    claimed,
)

from pentad.state.v1.approval_pb2 import Approval
from pentad_state.appends import Beside
from pentad_state.approval_errors import (
    ApprovalDecided,
    ApprovalNotFound,
    ApprovalWithdrawn,
)
from pentad_state.core import StateCore
from pentad_state.errors import (
    InvalidPageToken,
)
from pentad_state.partitions import key, partition_of_run, run_id_for


async def test_a_run_that_ends_withdraws_what_nobody_decided(core: StateCore, engine: str) -> None:
    held = await claimed(core)
    run_id = held.lease.run_id
    both = [asked("a"), asked("b")]
    await append(core, held.lease, 1, STARTED, beside=Beside(approvals=both))
    await decide(core, f"{run_id}/a", NO, "d1")
    await append(core, held.lease, 2, DONE, status=COMPLETED)

    with pytest.raises(ApprovalWithdrawn):
        await decide(core, f"{run_id}/b", YES, "d2")
    with pytest.raises(ApprovalDecided):
        await decide(core, f"{run_id}/a", YES, "d3")

    listed, _ = await core.approvals.list_approvals(TENANT, ANY, "", 10, "")
    assert {a.key: a.state for a in listed} == {
        "a": Approval.STATE_REFUSED,
        "b": Approval.STATE_WITHDRAWN,
    }
    p = partition_of_run(run_id)
    assert ask(engine, "ZCARD", key(p, "pending")) == 0
    for kind in ("run", "approvals"):
        assert int(str(ask(engine, "PTTL", key(p, kind, run_id)))) > 0, kind


async def test_approvals_of_forgotten_runs_leave_the_lists(core: StateCore, engine: str) -> None:
    held = await claimed(core)
    p = partition_of_run(held.lease.run_id)
    await append(core, held.lease, 1, STARTED, beside=Beside(approvals=[asked()]))
    await append(core, held.lease, 2, DONE, status=COMPLETED)
    kept = ask(engine, "ZRANGE", key(p, "asked-over"), 0, -1)
    assert isinstance(kept, list)
    (member,) = kept
    ask(engine, "DEL", key(p, "approvals", held.lease.run_id))
    ask(engine, "ZADD", key(p, "asked-over"), 1, member)

    assert await core.approvals.list_approvals(TENANT, ANY, "", 10, "") == ([], "")

    names = (f"other{n}" for n in count())
    beside = next(n for n in names if partition_of_run(run_id_for(TENANT, n)) == p)
    await waiting_for(core, request_id=beside)
    assert ask(engine, "ZCARD", key(p, "asked-over")) == 0
    assert ask(engine, "ZCARD", key(p, "asked")) == 1


async def test_approvals_are_listed_newest_first_by_state_run_and_page(core: StateCore) -> None:
    ids: list[str] = []
    for n in range(7):
        _, approval_id = await waiting_for(core, asked(f"k{n}"), request_id=f"r{n}")
        ids.insert(0, approval_id)
        await asyncio.sleep(0.002)  # the next one is younger by the store's clock
    await decide(core, ids[0], YES, "d1")

    async def listed(state: Approval.State.ValueType = ANY, run_id: str = "") -> list[str]:
        token = ""
        found: list[str] = []
        for _ in range(20):
            page, token = await core.approvals.list_approvals(TENANT, state, run_id, 3, token)
            assert len(page) <= 3
            found += [approval.approval_id for approval in page]
            if not token:
                return found
        raise AssertionError("the list has no end")

    assert await listed() == ids
    assert await listed(Approval.STATE_PENDING) == ids[1:]
    assert await listed(Approval.STATE_APPROVED) == ids[:1]
    assert await listed(run_id=ids[3].partition("/")[0]) == [ids[3]]
    _, token = await core.approvals.list_approvals(TENANT, ANY, "", 3, "")
    with pytest.raises(InvalidPageToken):
        await core.approvals.list_approvals(TENANT, Approval.STATE_PENDING, "", 3, token)


async def test_tenants_see_their_own_approvals(core: StateCore) -> None:
    _, approval_id = await waiting_for(core)

    # Names that begin alike are told from each other.
    for other in ("acm", "acme2", "4:acme", ""):
        assert await core.approvals.list_approvals(other, ANY, "", 10, "") == ([], "")
        with pytest.raises(ApprovalNotFound):
            await core.approvals.decide(other, approval_id, "d1", YES, b"")
