"""ServiceError ⇄ gRPC status with `google.rpc` details; the only module that knows both."""

from collections.abc import Sequence

import grpc
from google.protobuf.any_pb2 import Any as AnyProto
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from pentad_chassis.errors import BY_CODE, Code, FieldViolation, ServiceError, Unavailable

DOMAIN = "pentad.dev"
_DETAILS_KEY = "grpc-status-details-bin"
_PUSHBACK_KEY = "grpc-retry-pushback-ms"
"""gRFC A6: a negative value tells the caller not to retry."""

_GRPC_CODES = {code.value[0]: code for code in grpc.StatusCode}


def to_grpc(
    error: ServiceError,
) -> tuple[grpc.StatusCode, str, tuple[tuple[str, str | bytes], ...]]:
    """Return code, message and trailing metadata that carry `error` across a hop."""
    trailing: tuple[tuple[str, str | bytes], ...] = ((_DETAILS_KEY, to_details(error)),)
    if error.retried:
        trailing = (*trailing, (_PUSHBACK_KEY, "-1"))
    return _GRPC_CODES[error.code.value], error.message, trailing


def to_details(error: ServiceError) -> bytes:
    """Return the `google.rpc.Status` of an error, as it travels."""
    status = Status(code=error.code.value, message=error.message)
    packed = [_pack(ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata))]
    if error.violations:
        packed.append(_pack(_bad_request(error)))
    if error.retry_after_s is not None:
        packed.append(_pack(RetryInfo(retry_delay=_duration(error.retry_after_s))))
    status.details.extend(packed)
    details: bytes = status.SerializeToString()
    return details


def told_by(trailing: Sequence[tuple[str, str | bytes]]) -> tuple[bytes, bool]:
    """Return the `google.rpc.Status` in trailing metadata, and whether to retry makes no sense."""
    found = dict(trailing)
    details = found.get(_DETAILS_KEY)
    retried = str(found.get(_PUSHBACK_KEY, "")).startswith("-")
    return details if isinstance(details, bytes) else b"", retried


def from_grpc(error: grpc.aio.AioRpcError, peer: str) -> ServiceError:
    """Return the ServiceError that `error` carries, or one that says how `peer` failed."""
    details, retried = told_by(tuple(error.trailing_metadata() or ()))
    found = _from_details(details)
    if found is None:
        found = _from_transport(error, peer)
        found.unsaid = True
    found.retried = retried
    return found


def from_details(details: bytes) -> ServiceError:
    """Return the ServiceError that a `google.rpc.Status` carries, whoever made it."""
    return _from_details(details) or _plain(Status.FromString(details))


def _plain(status: Status) -> ServiceError:
    return BY_CODE[Code(status.code)](status.message)


def _from_details(details: bytes) -> ServiceError | None:
    status = Status.FromString(details)
    info, bad_request, retry = ErrorInfo(), BadRequest(), RetryInfo()
    found: ServiceError | None = None
    for detail in status.details:
        if detail.Unpack(info) and info.domain == DOMAIN:
            found = _restore(status, info)
    if found is None:
        return None
    for detail in status.details:
        if detail.Unpack(bad_request):
            found.violations = tuple(
                FieldViolation(v.field, v.description) for v in bad_request.field_violations
            )
        if detail.Unpack(retry):
            found.retry_after_s = retry.retry_delay.ToTimedelta().total_seconds()
    return found


def _restore(status: Status, info: ErrorInfo) -> ServiceError:
    error = _plain(status)
    error.reason = info.reason
    error.metadata = dict(info.metadata)
    return error


def _from_transport(error: grpc.aio.AioRpcError, peer: str) -> ServiceError:
    code = error.code()
    if code in {grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE}:
        # A peer that stops cancels what it serves; to its callers it is gone, not they.
        return Unavailable(f"the {peer} service cannot be reached", peer=peer)
    return BY_CODE[Code(code.value[0])](f"{peer}: {error.details() or code.name}", peer=peer)


def _bad_request(error: ServiceError) -> BadRequest:
    return BadRequest(
        field_violations=[
            BadRequest.FieldViolation(field=v.field, description=v.description)
            for v in error.violations
        ]
    )


def _pack(message: ErrorInfo | BadRequest | RetryInfo) -> AnyProto:
    packed = AnyProto()
    packed.Pack(message)
    return packed


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(int(seconds * 1e9))
    return duration
