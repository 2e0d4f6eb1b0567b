"""Reasons of the gateway's own; those of the services behind it pass through unchanged."""

from collections.abc import Sequence

from pentad_chassis.errors import (
    FieldViolation,
    InvalidArgument,
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


class RequestInvalid(InvalidArgument):
    """Fields of the request break stated bounds; `violations` names them."""

    reason = "REQUEST_INVALID"

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        first = violations[0]
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        super().__init__(
            f"{first.field} {first.description}{more}",
            field=first.field,
            violations=str(len(violations)),
        )
        self.violations = tuple(violations[:_VIOLATIONS_TOLD])


def require(violations: Sequence[FieldViolation]) -> None:
    """Raise RequestInvalid unless `violations` is empty."""
    if violations:
        raise RequestInvalid(violations)
