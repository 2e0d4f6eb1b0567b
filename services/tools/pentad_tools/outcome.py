"""How a call ended, as the ledger records it and a model reads it."""

from enum import StrEnum

import pydantic_core

from pentad.state.v1.effect_service_pb2 import EffectOutcome
from pentad.state.v1.message_pb2 import Payload, ToolError

RESULT_BYTES_MAX = 256 * 1024
MESSAGE_CHARS_MAX = 2000


class Reason(StrEnum):
    """Why a call gave no result."""

    TOOL_NOT_FOUND = "TOOL_NOT_FOUND"
    TOOL_ARGUMENTS_INVALID = "TOOL_ARGUMENTS_INVALID"
    TOOL_FAILED = "TOOL_FAILED"
    TOOL_TIMEOUT = "TOOL_TIMEOUT"
    TOOL_RESULT_TOO_LARGE = "TOOL_RESULT_TOO_LARGE"


def failure(reason: Reason, message: str) -> EffectOutcome:
    """Return the outcome of a call that gave no result."""
    if len(message) > MESSAGE_CHARS_MAX:
        message = message[: MESSAGE_CHARS_MAX - 1] + "…"
    return EffectOutcome(error=ToolError(reason=reason.value, message=message))


def returned(value: object) -> EffectOutcome:
    """Return the outcome of a call that returned `value`: a string as text, all else as JSON."""
    try:
        encoded = _encode(value)
    except (pydantic_core.PydanticSerializationError, ValueError, RecursionError):
        return failure(
            Reason.TOOL_FAILED,
            f"the call was made, but its result, a {type(value).__name__}, cannot become JSON",
        )
    if len(encoded) > RESULT_BYTES_MAX:
        return failure(
            Reason.TOOL_RESULT_TOO_LARGE,
            f"the call was made, but its result has {len(encoded)} bytes; at most"
            f" {RESULT_BYTES_MAX} are kept: ask for less",
        )
    kind = "text/plain" if isinstance(value, str) else "application/json"
    return EffectOutcome(result=Payload(content_type=kind, text=encoded.decode()))


def _encode(value: object) -> bytes:
    if isinstance(value, str):
        return value.encode()
    return pydantic_core.to_json(value, inf_nan_mode="null")
