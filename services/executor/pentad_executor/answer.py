"""What a model has said of a turn so far, put together from the events of its stream."""

from dataclasses import dataclass
from enum import Enum, auto
from uuid import uuid4

from pentad.executor.v1.executor_service_pb2 import TurnResult
from pentad.state.v1.message_pb2 import Message, ToolCall, Usage
from pentad_executor.arguments import to_payload
from pentad_executor.errors import (
    ModelOutputInvalid,
    ModelOutputTooLarge,
    ModelRefused,
    ModelUnavailable,
)
from pentad_executor.pricing import Tokens

_CHARS_MAX = 4 * 1024 * 1024
"""Text, reasoning and calls of one turn, together; what is kept of it is bounded tighter."""


class Ending(Enum):
    """Why a model stopped."""

    WHOLE = auto()
    """It said what it had to say, or as much of it as it was allowed to."""
    CALLS = auto()
    """It waits for its tool calls."""
    FILTERED = auto()
    """It may not say more."""
    FAILED = auto()
    """It broke down."""


@dataclass(slots=True)
class Call:
    """A tool call that is being written."""

    id: str = ""
    tool: str = ""
    arguments: str = ""


class Answer:
    """One turn in the making."""

    def __init__(self, reference: str) -> None:
        self._reference = reference
        self._texts: list[str] = []
        self._calls: dict[int, Call] = {}
        self._room = _CHARS_MAX
        self.model = reference.partition(":")[2]
        """The model that answers, as its provider names it; until it does, the one asked."""
        self.tokens: Tokens | None = None
        """What it consumed, once it has said so."""
        self.ending: Ending | None = None
        """Why it stopped, once it has."""
        self.thinking = False
        """Whether it marks what it writes now as not meant for the reader."""
        self.over = False
        """Whether its stream has come to its end."""

    def say(self, text: str) -> str:
        """Add to the text; returns it."""
        self.hold(len(text))
        self._texts.append(text)
        return text

    def hold(self, chars: int) -> None:
        """Take room for what is not text; ModelOutputTooLarge when there is no more."""
        self._room -= chars
        if self._room < 0:
            raise ModelOutputTooLarge(self._reference, "characters", _CHARS_MAX)

    def call(self, index: int) -> Call:
        """Return the tool call of that place, a new one if there is none."""
        self.hold(1)
        return self._calls.setdefault(index, Call())

    @property
    def calls(self) -> int:
        """How many tool calls it makes."""
        return len(self._calls)

    def result(self, cost_nano_usd: int | None) -> TurnResult:
        """Return the turn; raises unless the model came to an end of its own."""
        self._check()
        return TurnResult(
            message=Message(
                role=Message.ROLE_ASSISTANT,
                text="".join(self._texts),
                tool_calls=[
                    ToolCall(
                        tool=call.tool,
                        arguments=to_payload(call.arguments),
                        # Results go back under it, so that a call has to have one.
                        model_call_id=call.id or f"call_{uuid4().hex}",
                    )
                    for call in self._calls.values()
                ],
            ),
            usage=self.usage(cost_nano_usd),
            model=self.model,
        )

    def usage(self, cost_nano_usd: int | None) -> Usage:
        """Return what it consumed; nothing where it has not said so."""
        tokens = self.tokens or Tokens(0, 0)
        return Usage(
            input_tokens=tokens.input,
            output_tokens=tokens.output,
            cached_input_tokens=tokens.cached,
            cost_nano_usd=cost_nano_usd,
        )

    def _check(self) -> None:
        match self.ending:
            case None:
                raise ModelOutputInvalid(self._reference, "it was cut off")
            case Ending.FILTERED:
                detail = "the provider's content filter stopped the answer"
                raise ModelRefused(self._reference, detail)
            case Ending.FAILED:
                raise ModelUnavailable(self._reference, "the provider broke the answer off")
            case Ending.CALLS if not self._calls:
                raise ModelOutputInvalid(self._reference, "it announces a tool call and makes none")
