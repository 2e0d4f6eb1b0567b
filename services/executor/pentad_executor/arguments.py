"""A tool call's arguments, which a model writes as text and may write wrong."""

from typing import Any

from pydantic_core import from_json

from pentad.state.v1.message_pb2 import Payload

_WRONG = "INVALID_JSON"


def to_payload(text: str) -> Payload:
    """Return what the call carries; nothing stands for no arguments.

    What is no JSON object goes on as it is: the tool refuses it, and the model learns why.
    """
    text = text or "{}"
    kind = "text/plain" if _object(text) is None else "application/json"
    return Payload(content_type=kind, text=text)


def told_back(text: str) -> dict[str, Any]:
    """Return the arguments of an earlier call as its model is shown them, an object always.

    Providers take nothing else. What was none is quoted in one, so that the model sees its mistake.
    """
    found = _object(text or "{}")
    return {_WRONG: text} if found is None else found


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = from_json(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
