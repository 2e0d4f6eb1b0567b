"""Bounds that requests must keep, and the errors they meet beyond them."""

from google.protobuf.duration_pb2 import Duration

from pentad_chassis.errors import FieldViolation, InvalidArgument
from pentad_state.errors import PayloadTooLarge

KIB = 1024
PAYLOAD_BYTES = 256 * KIB
APPEND_BYTES = 1024 * KIB
NAME_BYTES = 512


def invalid(field: str, description: str) -> InvalidArgument:
    """Return the error of a field that can never be right."""
    error = InvalidArgument(f"{field} {description}", field=field)
    error.violations = (FieldViolation(field, description),)
    return error


def check_name(field: str, name: str) -> None:
    """Refuse a name that is empty or long."""
    if not name:
        raise invalid(field, "must not be empty")
    check_size(field, len(name.encode()), NAME_BYTES)


def check_range(field: str, number: int, least: int, most: int) -> None:
    """Refuse a number outside of its bounds."""
    if not least <= number <= most:
        raise invalid(field, f"must be from {least} to {most}")


def check_size(field: str, size: int, limit: int) -> None:
    """Refuse what is larger than its limit."""
    if size > limit:
        raise PayloadTooLarge(field, size, limit)


def check_count(field: str, count: int, limit: int) -> None:
    """Refuse a list that is longer than its limit."""
    if count > limit:
        raise invalid(field, f"must have at most {limit} items")


def to_ms(field: str, duration: Duration, most_s: float) -> int:
    """Return a time that must be there, positive and bounded, in milliseconds."""
    ms = duration.ToMilliseconds()
    if not 0 < ms <= most_s * 1000:
        raise invalid(field, f"must be more than 0 s and at most {most_s:g} s")
    return ms
