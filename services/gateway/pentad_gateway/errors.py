"""Reasons of the gateway's own; those of the services behind it pass through unchanged."""

from collections.abc import Sequence

from pentad_chassis.errors import (
    Aborted,
    AlreadyExists,
    FieldViolation,
    InvalidArgument,
    NotFound,
    OutOfRange,
    Unauthenticated,
)

_VIOLATIONS_TOLD = 20
"""Details travel as metadata, of which peers refuse more than 8 KiB."""


class ApiKeyMissing(Unauthenticated):
    """The call carries no key."""

    reason = "API_KEY_MISSING"

    def __init__(self) -> None:
        super().__init__("no API key; send the metadata `authorization: Bearer KEY`")


class ApiKeyInvalid(Unauthenticated):
    """Nobody has the key that the call carries."""

    reason = "API_KEY_INVALID"

    def __init__(self) -> None:
        super().__init__(
            "the API key is not valid; send one that this gateway knows "
            "as the metadata `authorization: Bearer KEY`"
        )


class _FieldsInvalid(InvalidArgument):
    """Fields of the request are not what they must be; `violations` names them."""

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        first = violations[0]
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        super().__init__(
            f"{first.field} {first.description}{more}",
            field=first.field,
            violations=str(len(violations)),
        )
        self.violations = tuple(violations[:_VIOLATIONS_TOLD])


class RequestInvalid(_FieldsInvalid):
    """Fields of the request break stated bounds; `violations` names them."""

    reason = "REQUEST_INVALID"


class AnswerInvalid(_FieldsInvalid):
    """The answer is not what its question's schema allows; `violations` names the places."""

    reason = "ANSWER_INVALID"


class WorkflowNotFound(NotFound):
    """The tenant has no such workflow."""

    reason = "WORKFLOW_NOT_FOUND"

    def __init__(self, name: str) -> None:
        super().__init__(f"no workflow {name!r}", workflow=name)


class VersionMismatch(Aborted):
    """Somebody else changed the workflow; look at it and try again."""

    reason = "VERSION_MISMATCH"

    def __init__(self, name: str, expected: int, found: int) -> None:
        super().__init__(
            f"workflow {name!r} was changed meanwhile",
            workflow=name,
            expected=str(expected),
            found=str(found),
        )


class WebhookNotFound(NotFound):
    """The tenant has no such webhook."""

    reason = "WEBHOOK_NOT_FOUND"

    def __init__(self, name: str) -> None:
        super().__init__(f"no webhook {name!r}", webhook=name)


class WebhookAlreadyExists(AlreadyExists):
    """The tenant has a webhook of that name."""

    reason = "WEBHOOK_ALREADY_EXISTS"

    def __init__(self, name: str) -> None:
        super().__init__(f"webhook {name!r} already exists", webhook=name)


class DeadLetterNotFound(NotFound):
    """The notice was delivered since, or is not kept any more."""

    reason = "DEAD_LETTER_NOT_FOUND"

    def __init__(self, dead_letter_id: str) -> None:
        super().__init__(f"no dead letter {dead_letter_id!r}", dead_letter_id=dead_letter_id)


class UsageTooManyRows(OutOfRange):
    """The usage that was asked for has more rows than are told at once."""

    reason = "USAGE_TOO_MANY_ROWS"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"the usage has more than {most} rows; ask for fewer days, or add some up",
            limit=str(most),
        )


def require(violations: Sequence[FieldViolation]) -> None:
    """Raise RequestInvalid unless `violations` is empty."""
    if violations:
        raise RequestInvalid(violations)
