"""Callers may branch on these reasons; keep them stable.

No message repeats what a provider said: its error bodies quote keys and prompts.
"""

from pentad.state.v1.budget_pb2 import Account
from pentad.state.v1.budget_pb2 import BudgetExhausted as BudgetExhaustedBy
from pentad_chassis.errors import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    OutOfRange,
    ResourceExhausted,
    Unavailable,
)


def described(exhausted: BudgetExhaustedBy) -> str:
    """Return in words whose budget it is."""
    account = exhausted.account
    scope = Account.Scope.Name(account.scope).removeprefix("SCOPE_").lower()
    return f"{scope} {account.name}" if account.name else f"the {scope}"


def to_metadata(exhausted: BudgetExhaustedBy) -> dict[str, str]:
    """Return which budget it is, and what of it is spent."""
    return {
        "account": described(exhausted),
        "quantity": exhausted.quantity,
        "limit": str(exhausted.limit),
        "spent": str(exhausted.spent),
        "needed": str(exhausted.needed),
    }


class ModelUnknown(NotFound):
    """No provider of that name, or the provider has no such model."""

    reason = "MODEL_UNKNOWN"

    def __init__(self, model: str, detail: str) -> None:
        super().__init__(f"no model {model!r}: {detail}", model=model)


class ModelNotConfigured(FailedPrecondition):
    """The executor has no key that the provider accepts."""

    reason = "MODEL_NOT_CONFIGURED"

    def __init__(self, model: str, variable: str, detail: str) -> None:
        super().__init__(f"model {model!r}: {detail}", model=model, variable=variable)


class ModelRefused(FailedPrecondition):
    """The provider will not serve this request, however often it is sent."""

    reason = "MODEL_REFUSED"

    def __init__(self, model: str, detail: str, **metadata: str) -> None:
        super().__init__(f"model {model!r} refused the turn: {detail}", model=model, **metadata)


class ModelUnavailable(Unavailable):
    """The provider cannot be reached, failed, or took too long."""

    reason = "MODEL_UNAVAILABLE"

    def __init__(self, model: str, detail: str, **metadata: str) -> None:
        super().__init__(f"model {model!r} is unavailable: {detail}", model=model, **metadata)
        # Turns are repeated by the orchestrator, which counts and journals them; the hops
        # between must not multiply its attempts.
        self.retried = True


class ModelRateLimited(ResourceExhausted):
    """The provider asks to slow down."""

    reason = "MODEL_RATE_LIMITED"

    def __init__(self, model: str, retry_after_s: float | None) -> None:
        super().__init__(f"the provider of model {model!r} limits our rate", model=model)
        self.retry_after_s = retry_after_s


class ModelOutputInvalid(Aborted):
    """The model answered with something that is no turn; another attempt may give one."""

    reason = "MODEL_OUTPUT_INVALID"

    def __init__(self, model: str, detail: str) -> None:
        super().__init__(f"model {model!r} gave no usable turn: {detail}", model=model)


class ModelOutputTooLarge(OutOfRange):
    """The model wrote more than a turn may hold."""

    reason = "MODEL_OUTPUT_TOO_LARGE"

    def __init__(self, model: str, what: str, limit: int) -> None:
        super().__init__(
            f"model {model!r} gave more than {limit} {what}", model=model, limit=str(limit)
        )


class ModelPriceUnknown(FailedPrecondition):
    """A budget bounds the cost, and nobody knows what the model costs."""

    reason = "MODEL_PRICE_UNKNOWN"

    def __init__(self, model: str, exhausted: BudgetExhaustedBy) -> None:
        whose = described(exhausted)
        super().__init__(
            f"the price of model {model!r} is not known, and the budget of {whose} bounds the cost",
            model=model,
            account=whose,
        )


class BudgetExhausted(FailedPrecondition):
    """A budget leaves no room for the turn."""

    reason = "BUDGET_EXHAUSTED"

    def __init__(self, exhausted: BudgetExhaustedBy) -> None:
        super().__init__(
            f"the budget of {described(exhausted)} allows {exhausted.limit} "
            f"{exhausted.quantity}; {exhausted.spent} are spent, "
            f"and the turn may need {exhausted.needed}",
            **to_metadata(exhausted),
        )


class BudgetBusy(ResourceExhausted):
    """Turns under way have reserved what is left of a budget; they may not use all of it."""

    reason = "BUDGET_BUSY"

    def __init__(self, exhausted: BudgetExhaustedBy, retry_after_s: float) -> None:
        super().__init__(
            f"turns under way have reserved what is left of the budget of {described(exhausted)}",
            **to_metadata(exhausted),
        )
        self.retry_after_s = retry_after_s


class RulesInvalid(InvalidArgument):
    """The agent's rules cannot be followed; `rule` names the one at fault, if it is one."""

    reason = "RULES_INVALID"

    def __init__(self, detail: str, rule: str = "") -> None:
        where = f"rule {rule!r}: " if rule else ""
        super().__init__(f"{where}{detail}", **({"rule": rule} if rule else {}))
