"""Callers may branch on these reasons; keep them stable.

No message repeats what a provider said: its error bodies quote keys and prompts.
"""

from pentad_chassis.errors import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    OutOfRange,
    ResourceExhausted,
    Unavailable,
)


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


class RulesInvalid(InvalidArgument):
    """The agent's rules cannot be followed; `rule` names the one at fault, if it is one."""

    reason = "RULES_INVALID"

    def __init__(self, detail: str, rule: str = "") -> None:
        where = f"rule {rule!r}: " if rule else ""
        super().__init__(f"{where}{detail}", **({"rule": rule} if rule else {}))
