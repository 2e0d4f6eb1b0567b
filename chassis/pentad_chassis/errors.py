"""The one error that crosses all hops, with a subclass for each status code."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar


class Code(Enum):
    """Canonical status codes, with gRPC's numbers."""

    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field of a request that breaks a stated bound."""

    field: str
    """Path of the field, such as `spec.multi_step.steps[2].name`."""

    description: str
    """What would be right."""


class ServiceError(Exception):
    """An error a caller may branch on: same class and same values two hops later.

    Raise a named subclass of one of the classes below; `reason` is its stable name and
    `metadata` holds the values its message speaks of.
    """

    code: ClassVar[Code] = Code.UNKNOWN
    reason: str = "UNKNOWN"

    def __init__(self, message: str, /, **metadata: str) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = metadata
        self.violations: tuple[FieldViolation, ...] = ()
        """Travels as `google.rpc.BadRequest`."""
        self.retry_after_s: float | None = None
        """Travels as `google.rpc.RetryInfo`."""
        self.retried = False
        """Somebody nearer to the fault has retried in vain; callers upstream do not multiply it."""
        self.unsaid = False
        """The peer said nothing: this is what its caller's own transport makes of the silence."""


class Cancelled(ServiceError):
    """The caller left."""

    code = Code.CANCELLED
    reason = "CANCELLED"


class Unknown(ServiceError):
    """A peer failed without saying why."""

    code = Code.UNKNOWN


class InvalidArgument(ServiceError):
    """The request can never succeed as it is."""

    code = Code.INVALID_ARGUMENT
    reason = "INVALID_ARGUMENT"


class DeadlineExceeded(ServiceError):
    """The time given was not enough."""

    code = Code.DEADLINE_EXCEEDED
    reason = "DEADLINE_EXCEEDED"


class NotFound(ServiceError):
    """What the request names does not exist for its caller."""

    code = Code.NOT_FOUND
    reason = "NOT_FOUND"


class AlreadyExists(ServiceError):
    """What the request would create exists."""

    code = Code.ALREADY_EXISTS
    reason = "ALREADY_EXISTS"


class PermissionDenied(ServiceError):
    """The caller is known and may not do this."""

    code = Code.PERMISSION_DENIED
    reason = "PERMISSION_DENIED"


class ResourceExhausted(ServiceError):
    """A bound was reached; later there may be room."""

    code = Code.RESOURCE_EXHAUSTED
    reason = "RESOURCE_EXHAUSTED"


class FailedPrecondition(ServiceError):
    """The state of things does not allow this now."""

    code = Code.FAILED_PRECONDITION
    reason = "FAILED_PRECONDITION"


class Aborted(ServiceError):
    """Another writer came first."""

    code = Code.ABORTED
    reason = "ABORTED"


class OutOfRange(ServiceError):
    """The request reaches past what there is."""

    code = Code.OUT_OF_RANGE
    reason = "OUT_OF_RANGE"


class Unimplemented(ServiceError):
    """The peer does not know this method."""

    code = Code.UNIMPLEMENTED
    reason = "UNIMPLEMENTED"


class Internal(ServiceError):
    """A defect; details are in the log under the trace id."""

    code = Code.INTERNAL
    reason = "INTERNAL"


class Unavailable(ServiceError):
    """The peer cannot answer now; repeating may help."""

    code = Code.UNAVAILABLE
    reason = "UNAVAILABLE"


class DataLoss(ServiceError):
    """Stored data cannot be read."""

    code = Code.DATA_LOSS
    reason = "DATA_LOSS"


class Unauthenticated(ServiceError):
    """The caller did not prove who it is."""

    code = Code.UNAUTHENTICATED
    reason = "UNAUTHENTICATED"


class CircuitOpen(Unavailable):
    """The peer failed again and again and is left alone for a while."""

    reason = "CIRCUIT_OPEN"

    def __init__(self, peer: str, retry_after_s: float) -> None:
        super().__init__(f"{peer} is failing; next attempt in {retry_after_s:.1f} s", peer=peer)
        self.retry_after_s = retry_after_s


class DeadlineTooShort(DeadlineExceeded):
    """So little time is left that the call was not begun."""

    reason = "DEADLINE_TOO_SHORT"

    def __init__(self, remaining_s: float) -> None:
        super().__init__(
            f"only {remaining_s * 1000:.0f} ms left; the call was not begun",
            remaining_ms=f"{remaining_s * 1000:.0f}",
        )


BY_CODE: dict[Code, type[ServiceError]] = {
    cls.code: cls
    for cls in (
        Cancelled, Unknown, InvalidArgument, DeadlineExceeded, NotFound, AlreadyExists,
        PermissionDenied, ResourceExhausted, FailedPrecondition, Aborted, OutOfRange,
        Unimplemented, Internal, Unavailable, DataLoss, Unauthenticated,
    )
}  # fmt: skip
"""The class that stands for each code when an error arrives from a peer."""
