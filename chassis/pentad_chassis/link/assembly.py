"""Payloads that arrive in parts, put together."""

from pentad_chassis.errors import ResourceExhausted

PAYLOAD_BYTES_MAX = 16 * 1024 * 1024
"""Of one request, answer or message; the same as on plain gRPC between services."""


class Assembly:
    """Puts together one payload after the other."""

    __slots__ = ("_bytes_max", "_parts", "_size")

    def __init__(self, bytes_max: int = PAYLOAD_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._parts: list[bytes] = []
        self._size = 0

    def join(self, part: bytes, *, more: bool) -> bytes | None:
        """Return the whole payload with its last part, and nothing before."""
        if not (more or self._parts):
            check_size(len(part), self._bytes_max)
            return part  # by far the most frequent way
        self._parts.append(part)
        self._size += len(part)
        check_size(self._size, self._bytes_max)
        if more:
            return None
        whole = b"".join(self._parts)
        self._parts, self._size = [], 0
        return whole


def check_size(size: int, bytes_max: int = PAYLOAD_BYTES_MAX) -> None:
    """Raise ResourceExhausted for a payload that is too large to be sent or received."""
    if size > bytes_max:
        raise ResourceExhausted(
            f"a message of {size} bytes is larger than the {bytes_max} that may be sent"
        )
