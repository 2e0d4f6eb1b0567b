"""Approvals: what runs ask of people. Deciding one and telling its run is one step."""

import asyncio

from pentad.state.v1.approval_pb2 import Approval, Decision
from pentad.state.v1.event_pb2 import ApprovalDecided, Event, RunResumed
from pentad.state.v1.run_pb2 import Settlement
from pentad_chassis.errors import ServiceError
from pentad_state.approval_errors import (
    ApprovalArgumentsChanged,
    ApprovalExpired,
    ApprovalNotFound,
    ApprovalWithdrawn,
    ApproverNotAllowed,
)
from pentad_state.approval_errors import ApprovalDecided as AlreadyDecided
from pentad_state.book import book_keys, to_approval
from pentad_state.bounds import (
    KIB,
    PAYLOAD_BYTES,
    check_count,
    check_name,
    check_size,
    invalid,
)  # fmt: skip
from pentad_state.doubts import SETTLEMENTS_MAX, doubt, unsettled
from pentad_state.inbox import SIGNAL_BYTES
from pentad_state.journal import tag_of
from pentad_state.pages import SCANS_MAX, STAMP, Page, newest_of
from pentad_state.partitions import key, partition_of_run
from pentad_state.store import Store, script

_COMMENT_BYTES = 4 * KIB
_PENDING = Approval.STATE_PENDING
_STATES = {
    Decision.VERDICT_APPROVED: Approval.STATE_APPROVED,
    Decision.VERDICT_REFUSED: Approval.STATE_REFUSED,
}
_FIELDS = ("state", "made", "approval", "decision")


class Approvals:
    """Every method is one atomic step of the store, lists aside."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, tenant: str, approval_id: str) -> Approval:
        """Return an approval."""
        approval = await self._find(tenant, approval_id)
        if approval is None:
            raise ApprovalNotFound(approval_id)
        return approval

    async def list_approvals(
        self, tenant: str, state: Approval.State.ValueType, run_id: str, size: int, token: str
    ) -> tuple[list[Approval], str]:
        """Return a page of a tenant's approvals, newest first, and the token of the next."""
        page = Page[Approval](("approvals", tenant, str(state), run_id), size, token)
        kind = "pending" if state == _PENDING else "asked"
        mine = f"{len(tenant.encode())}:{tenant}"
        for _ in range(SCANS_MAX):
            members, more = await newest_of(self._store, kind, mine, page.last)
            ids = (m[STAMP:] if _is_of(m[STAMP:], run_id) else "" for m in members)
            found = await asyncio.gather(*(self._find(tenant, each) for each in ids))
            for member, approval in zip(members, found, strict=True):
                if not page.room:
                    return page.items, page.next_token()
                if approval is not None and (not state or approval.state == state):
                    page.add(member, approval)
                else:
                    page.skip(member)
            if not more:
                return page.items, ""
        return page.items, page.next_token()

    async def decide(
        self, tenant: str, approval_id: str, decision_id: str, decision: Decision, digest: bytes
    ) -> Approval:
        """Record what a person said and tell the run, unless somebody was first."""
        check_name("decision_id", decision_id)
        _check(decision)
        asked = await self.get(tenant, approval_id)
        event, resumed = _consequence(asked, decision)
        run_id = asked.run_id
        p = partition_of_run(run_id)
        approvals, _, pending, _ = book_keys(p, run_id)
        verdict, *rest = await self._store.run(
            script("approval_decide"),
            [
                key(p, "run", run_id), key(p, "inbox", run_id), key(p, "ready"), key(p, "wakes"),
                key(p, "due"), key(p, "turns"), approvals, pending,
            ],
            run_id, tenant, asked.key, tag_of(decision_id), decision.decided_by, digest.hex(),
            _STATES[decision.verdict], decision.SerializeToString(), event,
            resumed.SerializeToString(), *map(doubt, resumed.settlements),
        )  # fmt: skip
        if verdict == b"GONE":
            raise ApprovalNotFound(approval_id)
        stands = to_approval(run_id, asked.key, rest[0])
        if verdict != b"OK":
            raise _refusal(verdict, stands, decision.decided_by, resumed)
        return stands

    async def _find(self, tenant: str, approval_id: str) -> Approval | None:
        run_id, _, name = approval_id.partition("/")
        if not name:
            return None
        owner, *held = await self._store.call(
            "HMGET", book_keys(partition_of_run(run_id), run_id)[0],
            "tenant", *(f"{field}:{name}" for field in _FIELDS), lasting=True,
        )  # fmt: skip
        known = owner == tenant.encode() and held[0] is not None
        return to_approval(run_id, name, held) if known else None


def _is_of(approval_id: str, run_id: str) -> bool:
    return not run_id or approval_id.startswith(f"{run_id}/")


def _check(decision: Decision) -> None:
    if decision.verdict not in _STATES:
        raise invalid("decision.verdict", "must be approved or refused")
    check_name("decision.decided_by", decision.decided_by)
    if "\n" in decision.decided_by:
        raise invalid("decision.decided_by", "must be one line")
    check_size("decision.comment", len(decision.comment.encode()), _COMMENT_BYTES)
    check_size("decision.answer", decision.answer.ByteSize(), PAYLOAD_BYTES)
    check_count("decision.settlements", len(decision.settlements), SETTLEMENTS_MAX)
    check_size("decision", decision.ByteSize(), SIGNAL_BYTES)


def _consequence(asked: Approval, decision: Decision) -> tuple[bytes, RunResumed]:
    """Return what the run is told; of a run that rests for it, what it goes on with instead."""
    decision.ClearField("time")
    if asked.kind != Approval.KIND_UNKNOWN_EFFECTS:
        if decision.settlements:
            raise invalid("decision.settlements", "must be empty: no effect is unknown")
        told = Event(approval_decided=ApprovalDecided(key=asked.key, decision=decision))
        return told.SerializeToString(), RunResumed()
    settlements = list(decision.settlements)
    if decision.verdict == Decision.VERDICT_REFUSED and not settlements:
        failure = decision.comment or "a person refused to say whether it took place"
        settlements = [
            Settlement(call_id=effect.call_id, attempt=effect.attempt, failure=failure)
            for effect in asked.unknown_effects
        ]
    return b"", RunResumed(settlements=settlements, reason=decision.comment)


def _refusal(verdict: bytes, stands: Approval, by: str, resumed: RunResumed) -> ServiceError:
    """Return why a decision does not count."""
    approval_id = stands.approval_id
    match verdict:
        case b"DECIDED":
            word = Approval.State.Name(stands.state).removeprefix("STATE_").lower()
            decision = stands.decision
            return AlreadyDecided(
                approval_id, word, decision.decided_by, decision.time.ToJsonString()
            )
        case b"EXPIRED":
            return ApprovalExpired(approval_id, stands.expire_time.ToJsonString())
        case b"WITHDRAWN":
            return ApprovalWithdrawn(approval_id)
        case b"NOT_ALLOWED":
            return ApproverNotAllowed(approval_id, by, ", ".join(stands.approvers))
        case b"CHANGED":
            return ApprovalArgumentsChanged(approval_id)
        case _:
            return unsettled(stands.run_id, stands.unknown_effects, resumed, "decision.settlements")
