"""What an interrupted run leaves in its session: what it was asked, and what it said. Pure."""

from collections import deque
from collections.abc import Iterable

from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.message_pb2 import Message

_TURNS_MAX = 99
_BYTES_MAX = 512 * 1024
"""Of what it said: with what it was asked, an append holds it."""


class Excerpt:
    """Reads a journal in pieces and keeps what was said last."""

    def __init__(self) -> None:
        self.last_seq = 0
        self._input = ""
        self._texts: deque[str] = deque(maxlen=_TURNS_MAX)

    def read(self, events: Iterable[Event]) -> None:
        """Take the next events."""
        for event in events:
            self.last_seq = event.seq
            match event.WhichOneof("kind"):
                case "run_created":
                    self._input = event.run_created.spec.input
                case "turn_completed" if text := event.turn_completed.message.text:
                    self._texts.append(text)

    def messages(self) -> list[Message]:
        """Return the question, and the texts of completed turns: the latest that fit."""
        said: list[Message] = []
        room = _BYTES_MAX
        for text in reversed(self._texts):
            room -= len(text.encode())
            if room < 0:
                break
            said.append(Message(role=Message.ROLE_ASSISTANT, text=text))
        return [Message(role=Message.ROLE_USER, text=self._input), *reversed(said)]
