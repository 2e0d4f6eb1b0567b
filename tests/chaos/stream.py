"""What a client has seen of a run, held against what streams promise."""

from pentad.state.v1.event_pb2 import Event

_ENDS = frozenset({"run_completed", "run_failed", "run_cancelled"})
_TURN_STARTS = frozenset({"turn_started", "turn_restarted"})


class Stream:
    """Takes events as they come, over however many calls, and notes each broken promise."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.journal: list[Event] = []
        self.cursor = ""
        self.breaks: list[str] = []
        self._text = ""

    @property
    def ended(self) -> bool:
        """Whether nothing follows."""
        return bool(self.journal) and self.journal[-1].WhichOneof("kind") in _ENDS

    def take(self, event: Event) -> None:
        """Look at the next event."""
        if event.run_id != self.run_id:
            self._broken(event, "is of another run")
        if self.ended:
            self._broken(event, "comes behind the end")
        if event.cursor in {"", self.cursor}:
            self._broken(event, "has no place of its own")
        if event.HasField("text_delta"):
            self._take_text(event)
        else:
            self._take_journalled(event)
        self.cursor = event.cursor

    def _take_text(self, event: Event) -> None:
        last = self.journal[-1] if self.journal else Event()
        if last.WhichOneof("kind") not in _TURN_STARTS or event.seq != last.seq:
            self._broken(event, f"is text of no turn that is in progress at {last.seq}")
        if event.text_delta.offset != len(self._text.encode()):
            self._broken(event, f"has a gap or an overlap: {len(self._text.encode())} bytes before")
        self._text += event.text_delta.text

    def _take_journalled(self, event: Event) -> None:
        if event.seq != len(self.journal) + 1:
            self._broken(event, f"comes behind {len(self.journal)}")
        whole = event.turn_completed.message.text
        if event.HasField("turn_completed") and not whole.startswith(self._text):
            self._broken(event, f"does not begin with the text shown: {self._text!r}")
        self._text = ""
        self.journal.append(event)

    def _broken(self, event: Event, how: str) -> None:
        kind = event.WhichOneof("kind")
        self.breaks.append(f"{self.run_id}: {kind} {event.seq} at {event.cursor!r} {how}")
