"""Callers may branch on these reasons; keep them stable.

What is the call's own fault is no error but an outcome: those reasons are in `outcome.py`.
Reasons of the state service (ARGUMENTS_CHANGED, STORE_UNAVAILABLE) pass through unchanged.
"""

from pentad_chassis.config import ConfigInvalid
from pentad_chassis.errors import (
    FailedPrecondition,
    FieldViolation,
    InvalidArgument,
    NotFound,
    Unavailable,
)


class ToolNotFound(NotFound):
    """The catalogue has no tool of that name."""

    reason = "TOOL_NOT_FOUND"

    def __init__(self, name: str) -> None:
        super().__init__(f"no tool {name!r}", tool=name)


class CallInProgress(Unavailable):
    """Another runner is at the call; asking again later gives its outcome."""

    reason = "CALL_IN_PROGRESS"

    def __init__(self, run_id: str, call_id: str, retry_after_s: float) -> None:
        super().__init__(
            f"another runner is at call {call_id!r} of run {run_id!r}",
            run_id=run_id,
            call_id=call_id,
        )
        self.retry_after_s = retry_after_s


class EffectOutcomeUnknown(FailedPrecondition):
    """A call that must not be repeated may or may not have taken place."""

    reason = "EFFECT_OUTCOME_UNKNOWN"

    def __init__(self, run_id: str, call_id: str, tool: str, attempt: int) -> None:
        super().__init__(
            f"whether call {call_id!r} of {tool!r} took place is unknown, and it must not be"
            " repeated unasked",
            run_id=run_id,
            call_id=call_id,
            tool=tool,
            attempt=str(attempt),
        )


class WebhookAddressRefused(InvalidArgument):
    """The operator does not allow notices to be sent there."""

    reason = "WEBHOOK_ADDRESS_REFUSED"

    def __init__(self, host: str) -> None:
        description = "must be a public address, or one that the operator allows"
        super().__init__(f"webhook.url {description}; {host} is neither", field="webhook.url")
        self.violations = (FieldViolation("webhook.url", description),)


class CatalogueInvalid(ConfigInvalid):
    """The installed tools do not make a catalogue; the service refuses to start."""
