"""People who decide on approvals: soon, late, twice, or not at all."""

import asyncio
from typing import TYPE_CHECKING

from simulation.agents import BOSS, OWNER
from simulation.network import Network
from simulation.people import TENANT, until_heard
from simulation.watch import Watch

from pentad.state.v1.approval_pb2 import Approval, Decision
from pentad.state.v1.approval_service_pb2 import DecideApprovalRequest, ListApprovalsRequest
from pentad_chassis.errors import ServiceError

if TYPE_CHECKING:
    from pentad.state.v1.approval_service_pb2_grpc import ApprovalServiceAsyncStub

_CALL_S = 5.0
_TOO_LATE = frozenset(
    {"APPROVAL_DECIDED", "APPROVAL_EXPIRED", "APPROVAL_WITHDRAWN", "APPROVER_NOT_ALLOWED"}
)


class Approvers:
    """Looks at what is asked every few seconds."""

    def __init__(
        self, network: Network, approvals: "ApprovalServiceAsyncStub", watch: Watch
    ) -> None:
        self._network = network
        self._approvals = approvals
        self._watch = watch
        self._seen: set[str] = set()

    async def work(self) -> None:
        """Decide until cancelled."""
        request = ListApprovalsRequest(tenant=TENANT, state=Approval.STATE_PENDING)
        async with asyncio.TaskGroup() as tasks:
            while True:
                await asyncio.sleep(1.5)
                listed = await until_heard(
                    lambda: self._approvals.ListApprovals(request, timeout=_CALL_S)
                )
                for approval in listed.approvals:
                    self._consider(approval, tasks)

    def _consider(self, approval: Approval, tasks: asyncio.TaskGroup) -> None:
        unknown_effects = approval.kind == Approval.KIND_UNKNOWN_EFFECTS  # the operator's affair
        if approval.approval_id in self._seen or unknown_effects:
            return
        self._seen.add(approval.approval_id)
        chance = self._network.next_chance("approver", approval.approval_id)
        if chance.random() < 0.2:
            return
        for who in (BOSS, OWNER) if chance.random() < 0.4 else (BOSS,):
            verdict = chance.choice([Decision.VERDICT_APPROVED] * 3 + [Decision.VERDICT_REFUSED])
            decision = Decision(verdict=verdict, decided_by=who, comment=f"says {who}")
            tasks.create_task(self._decide(approval, decision, chance.uniform(0.0, 30.0)))

    async def _decide(self, approval: Approval, decision: Decision, after_s: float) -> None:
        await asyncio.sleep(after_s)
        request = DecideApprovalRequest(
            tenant=TENANT,
            approval_id=approval.approval_id,
            decision_id=f"{approval.approval_id}/{decision.decided_by}",
            decision=decision,
            arguments_digest=approval.arguments_digest,
        )
        try:
            answer = await until_heard(
                lambda: self._approvals.DecideApproval(request, timeout=_CALL_S)
            )
        except ServiceError as error:
            if error.reason not in _TOO_LATE:
                raise
            return
        if answer.approval.decision.decided_by != decision.decided_by:
            self._watch.violated(f"{approval.approval_id} was decided by two")
