"""Every reason this service can give. Callers may branch on them; keep them stable."""

from pentad_chassis.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    OutOfRange,
    ResourceExhausted,
    Unavailable,
)
from pentad_state import approval_errors  # noqa: F401 - its reasons are among them

_SCHEDULE_RETRY_S = 5.0
"""A full schedule empties as runs end, which takes longer than a call."""

_INBOX_RETRY_S = 1.0
"""An owner that is alive hears what a run is told with its next append."""


class StoreUnavailable(Unavailable):
    """The store did not answer, or refused to write; repeating may help."""

    reason = "STORE_UNAVAILABLE"

    def __init__(self, cause: str) -> None:
        super().__init__(f"the store is not available: {cause}", cause=cause)


class DurabilityNotReached(Unavailable):
    """The write is on too few replicas to be acknowledged, and may be lost; repeating may help."""

    reason = "DURABILITY_NOT_REACHED"

    def __init__(self, cause: str) -> None:
        super().__init__(f"the write is not acknowledged: {cause}", cause=cause)


class PayloadTooLarge(InvalidArgument):
    """A field is larger than its stated limit."""

    reason = "PAYLOAD_TOO_LARGE"

    def __init__(self, field: str, size: int, limit: int) -> None:
        super().__init__(
            f"{field} has {size} bytes; the limit is {limit}",
            field=field,
            size=str(size),
            limit=str(limit),
        )


class InvalidPageToken(InvalidArgument):
    """The token is not one that the same list gave."""

    reason = "INVALID_PAGE_TOKEN"

    def __init__(self) -> None:
        super().__init__("page_token is not one that this list gave", field="page_token")


class InvalidCursor(InvalidArgument):
    """The cursor is not one of an event of this run, or of this topic."""

    reason = "INVALID_CURSOR"

    def __init__(self) -> None:
        super().__init__("after is not the cursor of an event that is there", field="after")


class CursorExpired(OutOfRange):
    """What stood behind the cursor is not kept any more."""

    reason = "CURSOR_EXPIRED"

    def __init__(self, oldest_cursor: str, oldest_seq: int) -> None:
        super().__init__(
            f"what stood behind the cursor is not kept any more; the oldest event is behind place"
            f" {oldest_seq}",
            oldest_cursor=oldest_cursor,
            oldest_seq=str(oldest_seq),
        )


class TopicTriggersFull(ResourceExhausted):
    """As many triggers read the topic as may."""

    reason = "TOPIC_TRIGGERS_FULL"

    def __init__(self, topic: str, limit: int) -> None:
        super().__init__(f"topic {topic!r} has {limit} triggers", topic=topic, limit=str(limit))


class RunNotFound(NotFound):
    """The tenant has no such run, or not any more."""

    reason = "RUN_NOT_FOUND"

    def __init__(self, run_id: str) -> None:
        super().__init__(f"no run {run_id!r}", run_id=run_id)


class RequestIdReused(AlreadyExists):
    """The request id belongs to another request."""

    reason = "REQUEST_ID_REUSED"

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"request id {request_id!r} was used with another request", request_id=request_id
        )


class RunNotPaused(FailedPrecondition):
    """The run does not rest, and nobody has asked it to."""

    reason = "RUN_NOT_PAUSED"

    def __init__(self, run_id: str) -> None:
        super().__init__(f"run {run_id!r} is not paused", run_id=run_id)


class SettlementMissing(FailedPrecondition):
    """The run waits for somebody to say what became of a call, and the request does not."""

    reason = "SETTLEMENT_MISSING"

    def __init__(self, run_id: str, call_id: str, tool: str, attempt: int) -> None:
        super().__init__(
            f"run {run_id!r} goes on once it is said whether call {call_id!r} of {tool!r} took"
            f" place, at attempt {attempt}",
            run_id=run_id,
            call_id=call_id,
            tool=tool,
            attempt=str(attempt),
        )


class ScheduleFull(ResourceExhausted):
    """As many runs wait as may; more are taken once some of them have begun."""

    reason = "SCHEDULE_FULL"

    def __init__(self, limit: int) -> None:
        super().__init__(f"the schedule is full; it holds {limit} runs", limit=str(limit))
        self.retry_after_s = _SCHEDULE_RETRY_S


class StaleFence(Aborted):
    """The caller does not hold what it writes to any more."""

    reason = "STALE_FENCE"

    def __init__(self, subject: str, fence: int) -> None:
        super().__init__(
            f"fence {fence} does not hold {subject}", subject=subject, fence=str(fence)
        )


class SeqConflict(Aborted):
    """The journal does not stand where the caller believes."""

    reason = "SEQ_CONFLICT"

    def __init__(self, run_id: str, expected_seq: int, last_seq: int) -> None:
        super().__init__(
            f"the journal of {run_id} has {last_seq} events, not {expected_seq}",
            run_id=run_id,
            expected_seq=str(expected_seq),
            last_seq=str(last_seq),
        )


class SignalUnheard(Aborted):
    """The run was told something that the append does not know of, and that it depends on."""

    reason = "SIGNAL_UNHEARD"

    def __init__(self, run_id: str, approval_id: str) -> None:
        super().__init__(
            f"approval {approval_id!r} was decided meanwhile",
            run_id=run_id,
            approval_id=approval_id,
        )


class InboxFull(ResourceExhausted):
    """The run was told more than its owner has journalled so far."""

    reason = "INBOX_FULL"

    def __init__(self, run_id: str, limit: int) -> None:
        super().__init__(
            f"run {run_id!r} has {limit} signals to hear", run_id=run_id, limit=str(limit)
        )
        self.retry_after_s = _INBOX_RETRY_S


class SessionNotFound(NotFound):
    """The tenant has no such session, or not any more."""

    reason = "SESSION_NOT_FOUND"

    def __init__(self, session_id: str) -> None:
        super().__init__(f"no session {session_id!r}", session_id=session_id)


class SessionAlreadyExists(AlreadyExists):
    """The tenant has a session of that name, or a run is at it."""

    reason = "SESSION_ALREADY_EXISTS"

    def __init__(self, session_id: str) -> None:
        super().__init__(f"session {session_id!r} already exists", session_id=session_id)


class SessionBusy(FailedPrecondition):
    """Another run is active in the session, and this one was to be rejected then."""

    reason = "SESSION_BUSY"

    def __init__(self, session_id: str, run_id: str) -> None:
        super().__init__(
            f"run {run_id!r} is active in session {session_id!r}",
            session_id=session_id,
            run_id=run_id,
        )


class SessionQueueFull(FailedPrecondition):
    """As many runs wait for the session as may."""

    reason = "SESSION_QUEUE_FULL"

    def __init__(self, session_id: str, limit: int) -> None:
        super().__init__(
            f"{limit} runs wait for session {session_id!r}; no more may",
            session_id=session_id,
            limit=str(limit),
        )


class MessageNotFound(NotFound):
    """The session has no message at that place, or not any more."""

    reason = "MESSAGE_NOT_FOUND"

    def __init__(self, session_id: str, seq: int, last_seq: int) -> None:
        super().__init__(
            f"session {session_id!r} has no message {seq}; its last is {last_seq}",
            session_id=session_id,
            seq=str(seq),
            last_seq=str(last_seq),
        )


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


class EntryNotFound(NotFound):
    """The scope has no such entry, or not any more."""

    reason = "ENTRY_NOT_FOUND"

    def __init__(self, scope: str, key: str) -> None:
        super().__init__(f"no entry {key!r} in {scope!r}", scope=scope, key=key)


class VersionMismatch(Aborted):
    """Another writer came first."""

    reason = "VERSION_MISMATCH"

    def __init__(self, subject: str, expected: int, actual: int) -> None:
        super().__init__(
            f"{subject} has version {actual}, not {expected}",
            subject=subject,
            expected_version=str(expected),
            actual_version=str(actual),
        )


class EffectNotFound(NotFound):
    """No such call was begun."""

    reason = "EFFECT_NOT_FOUND"

    def __init__(self, run_id: str, call_id: str) -> None:
        super().__init__(f"no call {call_id!r} of run {run_id!r}", run_id=run_id, call_id=call_id)


class ArgumentsChanged(AlreadyExists):
    """The call was begun before with another tool or other arguments."""

    reason = "ARGUMENTS_CHANGED"

    def __init__(self, run_id: str, call_id: str) -> None:
        super().__init__(
            f"call {call_id!r} of run {run_id!r} was begun with other arguments",
            run_id=run_id,
            call_id=call_id,
        )


class BudgetNotFound(NotFound):
    """Nobody set a budget of the account."""

    reason = "BUDGET_NOT_FOUND"

    def __init__(self, account: str) -> None:
        super().__init__(f"no budget of {account}", account=account)


class BudgetsFull(ResourceExhausted):
    """The tenant has as many budgets as there may be."""

    reason = "BUDGETS_FULL"

    def __init__(self, most: int) -> None:
        super().__init__(f"there are {most} budgets already; delete some", limit=str(most))


class AgentNotFound(NotFound):
    """The tenant has no such agent, or not that revision of it."""

    reason = "AGENT_NOT_FOUND"

    def __init__(self, name: str) -> None:
        super().__init__(f"no agent {name!r}", agent=name)


class AgentAlreadyExists(AlreadyExists):
    """The tenant has an agent of that name."""

    reason = "AGENT_ALREADY_EXISTS"

    def __init__(self, name: str) -> None:
        super().__init__(f"agent {name!r} already exists", agent=name)
