"""What becomes of a run whose budget is exhausted: it ends with what there is of an answer."""

from pentad.state.v1.budget_pb2 import Account, BudgetExhausted
from pentad.state.v1.event_pb2 import TurnCompleted
from pentad.state.v1.message_pb2 import Message
from pentad.state.v1.run_pb2 import Failure
from pentad_orchestrator.run import Answered, Calling, Finishing, InTurn, Run, TurnBroken

REASON = "BUDGET_EXHAUSTED"

_OUTPUT_BYTES = 64 * 1024
"""It is journalled beside the status that holds it too."""


def failure_of(exhausted: BudgetExhausted) -> Failure:
    """Say which budget leaves no room, and what of it is spent."""
    whose = described(exhausted.account)
    message = (
        f"the budget of {whose} allows {exhausted.limit} {exhausted.quantity}; "
        f"{exhausted.spent} are spent"
    )
    return Failure(reason=REASON, message=message, metadata=to_metadata(exhausted))


def to_metadata(exhausted: BudgetExhausted) -> dict[str, str]:
    """Return the same for programs."""
    return {
        "account": described(exhausted.account),
        "quantity": exhausted.quantity,
        "limit": str(exhausted.limit),
        "spent": str(exhausted.spent),
        "needed": str(exhausted.needed),
    }


def described(account: Account) -> str:
    """Return in words whose budget it is."""
    scope = Account.Scope.Name(account.scope).removeprefix("SCOPE_").lower()
    return f"{scope} {account.name}" if account.name else f"the {scope}"


def wall_time(run: Run) -> Failure:
    """Say that the time is over that the run's budget allows."""
    limit = f"{run.bounds.wall_time_s:g}"
    metadata = {
        "account": f"run {run.run_id}",
        "quantity": "wall_time_s",
        "limit": limit,
        "spent": limit,
    }
    message = f"the budget of run {run.run_id} allows {limit} s, which are over"
    return Failure(reason=REASON, message=message, metadata=metadata)


def cut_off(run: Run, turn: InTurn, completed: TurnCompleted, at_s: float) -> Run:
    """Return the run after a turn whose message ends where a budget does."""
    broken = TurnBroken(
        attempt=turn.attempt,
        failures=turn.failures,
        failure=failure_of(completed.exhausted),
        retryable=False,
        failed_at_s=at_s,
    )
    return run.having(phase=broken, messages=(*run.messages, completed.message))


def output(run: Run, failure: Failure) -> str:
    """Return the last that was said, where a budget ends the run; else nothing."""
    if failure.reason != REASON:
        return ""
    return _last_text(run).encode()[:_OUTPUT_BYTES].decode(errors="ignore")


def _last_text(run: Run) -> str:
    match run.phase:
        case Calling(message=message) if message.text.strip():
            return message.text
        case Answered(text) | Finishing(text):
            return text
    for message in reversed(run.messages):
        if message.role == Message.ROLE_ASSISTANT and message.text.strip():
            return message.text
    return run.outputs[-1] if run.outputs else ""
