"""The reasons of approvals; `errors` has all."""

from pentad_chassis.errors import FailedPrecondition, NotFound, PermissionDenied


class ApprovalNotFound(NotFound):
    """The tenant has no such approval, or not any more."""

    reason = "APPROVAL_NOT_FOUND"

    def __init__(self, approval_id: str) -> None:
        super().__init__(f"no approval {approval_id!r}", approval_id=approval_id)


class ApprovalDecided(FailedPrecondition):
    """Somebody decided before."""

    reason = "APPROVAL_DECIDED"

    def __init__(self, approval_id: str, verdict: str, by: str, time: str) -> None:
        super().__init__(
            f"approval {approval_id!r} was {verdict} by {by or 'somebody'} at {time}",
            approval_id=approval_id,
            verdict=verdict,
            decided_by=by,
            decide_time=time,
        )


class ApprovalExpired(FailedPrecondition):
    """Nobody decided in time; the run goes on without."""

    reason = "APPROVAL_EXPIRED"

    def __init__(self, approval_id: str, time: str) -> None:
        super().__init__(
            f"approval {approval_id!r} has expired, at {time}",
            approval_id=approval_id,
            expire_time=time,
        )


class ApprovalWithdrawn(FailedPrecondition):
    """The run has ended, or does not need to know any more."""

    reason = "APPROVAL_WITHDRAWN"

    def __init__(self, approval_id: str) -> None:
        super().__init__(
            f"approval {approval_id!r} is not needed any more", approval_id=approval_id
        )


class ApproverNotAllowed(PermissionDenied):
    """The approval is for others to decide."""

    reason = "APPROVER_NOT_ALLOWED"

    def __init__(self, approval_id: str, approver: str, approvers: str) -> None:
        super().__init__(
            f"{approver!r} may not decide approval {approval_id!r}; {approvers} may",
            approval_id=approval_id,
            approver=approver,
            approvers=approvers,
        )


class ApprovalArgumentsChanged(FailedPrecondition):
    """The approval is for other arguments than those that the person saw."""

    reason = "ARGUMENTS_CHANGED"

    def __init__(self, approval_id: str) -> None:
        super().__init__(
            f"approval {approval_id!r} is for other arguments than those that were seen",
            approval_id=approval_id,
        )
