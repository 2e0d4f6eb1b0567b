"""What the model is told of its tool calls. Pure."""

from pentad.state.v1.message_pb2 import Message, Payload
from pentad_orchestrator.run import Call


def answer_of(call: Call) -> Message:
    """Return the outcome of a call as the model reads it."""
    outcome = call.outcome
    assert outcome is not None, "a turn begins when every call before it has its outcome"
    error = outcome.error
    failed = outcome.WhichOneof("outcome") == "error"
    return Message(
        role=Message.ROLE_TOOL,
        text=f"{error.reason}: {error.message}" if failed else _as_text(outcome.result),
        failed=failed,
        call_id=call.wish.call_id,
        tool=call.wish.tool,
        model_call_id=call.wish.model_call_id,
    )


def _as_text(result: Payload) -> str:
    if result.WhichOneof("body") == "binary":
        return f"({len(result.binary)} bytes of {result.content_type})"
    return result.text
