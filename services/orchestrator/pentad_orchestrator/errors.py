"""Callers may branch on these reasons; keep them stable.

Those that the state service decides arrive from it ready made and pass through unchanged.
"""

from collections.abc import Sequence

from pentad_chassis.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    FieldViolation,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
)

_VIOLATIONS_TOLD = 20
"""Details travel as metadata, of which peers refuse more than 8 KiB."""


class AgentNotFound(NotFound):
    """The tenant has no agent of that name."""

    reason = "AGENT_NOT_FOUND"

    def __init__(self, agent: str) -> None:
        super().__init__(f"no agent {agent!r}", agent=agent)


class CapabilityNotFound(NotFound):
    """None of the tenant's agents has the capability."""

    reason = "CAPABILITY_NOT_FOUND"

    def __init__(self, capability: str) -> None:
        super().__init__(f"no agent has the capability {capability!r}", capability=capability)


class ToolNotFound(NotFound):
    """An agent lists a tool that the catalogue does not have."""

    reason = "TOOL_NOT_FOUND"

    def __init__(self, tool: str, agent: str) -> None:
        super().__init__(
            f"agent {agent!r} lists the tool {tool!r}, which does not exist", tool=tool, agent=agent
        )


class TooManyAgents(InvalidArgument):
    """The agents that a run may have work done by, one through another, are too many."""

    reason = "TOO_MANY_AGENTS"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"its agents name more than {most} others, one through another", agents_max=str(most)
        )


class WorkflowNotFound(NotFound):
    """The tenant has no workflow of that name."""

    reason = "WORKFLOW_NOT_FOUND"

    def __init__(self, workflow: str) -> None:
        super().__init__(f"no workflow {workflow!r}", workflow=workflow)


class WorkflowInvalid(InvalidArgument):
    """A workflow names what does not exist; `violations` tells all of it."""

    reason = "WORKFLOW_INVALID"

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        first = violations[0]
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        super().__init__(
            f"{first.field}: {first.description}{more}",
            field=first.field,
            violations=str(len(violations)),
        )
        self.violations = tuple(violations[:_VIOLATIONS_TOLD])


class WebhookNotFound(NotFound):
    """The run is to tell a webhook that the tenant does not have."""

    reason = "WEBHOOK_NOT_FOUND"

    def __init__(self, name: str) -> None:
        super().__init__(f"no webhook {name!r}", webhook=name)


class TriggerNotFound(NotFound):
    """The tenant has no such trigger."""

    reason = "TRIGGER_NOT_FOUND"

    def __init__(self, name: str) -> None:
        super().__init__(f"no trigger {name!r}", trigger=name)


class TriggerAlreadyExists(AlreadyExists):
    """The tenant has a trigger of that name."""

    reason = "TRIGGER_ALREADY_EXISTS"

    def __init__(self, name: str) -> None:
        super().__init__(f"trigger {name!r} already exists", trigger=name)


class RunNotFound(NotFound):
    """The tenant has no such run; decided by the state service."""

    reason = "RUN_NOT_FOUND"

    def __init__(self, run_id: str) -> None:
        super().__init__(f"no run {run_id!r}", run_id=run_id)


class EventNotFound(NotFound):
    """The run's journal has no event at that place."""

    reason = "EVENT_NOT_FOUND"

    def __init__(self, run_id: str, seq: int, last_seq: int) -> None:
        super().__init__(
            f"run {run_id!r} has no event {seq}; its last is {last_seq}",
            run_id=run_id,
            seq=str(seq),
            last_seq=str(last_seq),
        )


class ForkAtEnd(FailedPrecondition):
    """The run had ended there: nothing is left to go on with."""

    reason = "FORK_AT_END"

    def __init__(self, run_id: str, seq: int, last_seq: int) -> None:
        super().__init__(
            f"run {run_id!r} ended with event {last_seq}; fork it at an earlier one",
            run_id=run_id,
            seq=str(seq),
            last_seq=str(last_seq),
        )


class SessionAlreadyExists(AlreadyExists):
    """The tenant has a session of that name."""

    reason = "SESSION_ALREADY_EXISTS"

    def __init__(self, session_id: str) -> None:
        super().__init__(f"session {session_id!r} already exists", session_id=session_id)


class RequestInvalid(InvalidArgument):
    """A field does not fit the run that the request is about."""

    reason = "REQUEST_INVALID"

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field} {description}", field=field, violations="1")
        self.violations = (FieldViolation(field, description),)


class RequestIdReused(AlreadyExists):
    """The request id named another request before."""

    reason = "REQUEST_ID_REUSED"

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"request_id {request_id!r} was used for another request", request_id=request_id
        )


class PayloadTooLarge(InvalidArgument):
    """The run, with all that it pins, is larger than the store takes; decided by it."""

    reason = "PAYLOAD_TOO_LARGE"

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"larger than {bytes_max} bytes", bytes_max=str(bytes_max))


class StoreUnavailable(Unavailable):
    """The state service cannot reach its store; decided by it."""

    reason = "STORE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("the store cannot be reached")


class ScheduleNotFound(NotFound):
    """The tenant has no such schedule."""

    reason = "SCHEDULE_NOT_FOUND"

    def __init__(self, name: str) -> None:
        super().__init__(f"no schedule {name!r}", schedule=name)


class ScheduleAlreadyExists(AlreadyExists):
    """The tenant has a schedule of that name."""

    reason = "SCHEDULE_ALREADY_EXISTS"

    def __init__(self, name: str) -> None:
        super().__init__(f"schedule {name!r} exists already", schedule=name)


class ScheduleInvalid(InvalidArgument):
    """A schedule's times make no sense; the violation names the field, and what would do."""

    reason = "SCHEDULE_INVALID"

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field} {description}", field=field)
        self.violations = (FieldViolation(field, description),)


class BackfillsFull(ResourceExhausted):
    """As many back-fills of a schedule go on as may."""

    reason = "BACKFILLS_FULL"

    def __init__(self, name: str, most: int) -> None:
        super().__init__(
            f"{most} back-fills of the schedule {name!r} go on already",
            schedule=name,
            backfills_max=str(most),
        )


class VersionMismatch(Aborted):
    """Somebody else changed the schedule; look at it and try again."""

    reason = "VERSION_MISMATCH"

    def __init__(self, name: str, expected: int = 0, found: int = 0) -> None:
        super().__init__(
            f"schedule {name!r} was changed meanwhile",
            schedule=name,
            **({"expected": str(expected), "found": str(found)} if expected else {}),
        )
