"""What clients asked for and were promised."""

from dataclasses import dataclass, field

from chaos.stream import Stream

from pentad.state.v1.run_pb2 import RunSpec


@dataclass
class Entry:
    """One request, and the run that it became."""

    request_id: str
    spec: RunSpec
    stream: Stream | None = None
    """Set once the run is accepted."""

    pause_asked: bool = False
    cancel_asked: bool = False
    settled: list[str] = field(default_factory=list)
    """Keys of calls that a person settled, each as often as it was."""

    @property
    def run_id(self) -> str:
        """The run; empty before it is accepted."""
        return "" if self.stream is None else self.stream.run_id

    @property
    def ended(self) -> bool:
        """Whether its client has seen the end."""
        return self.stream is not None and self.stream.ended


class Book:
    """Holds every request of a run of the chaos, and what went wrong that only its client saw."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.duplicated: list[str] = []
        self.untrue: list[str] = []
        """Pauses that give a reason which is not so."""

        self.errors: list[str] = []
        """Answers that no client should get, whatever happens to the suite."""

    def note(self, request_id: str, spec: RunSpec) -> Entry:
        """Begin a new entry."""
        self.entries.append(Entry(request_id, spec))
        return self.entries[-1]

    def accepted(self, entry: Entry, run_id: str) -> Stream:
        """Note which run a request became; every answer must name the same."""
        if entry.stream is None:
            entry.stream = Stream(run_id)
        elif entry.run_id != run_id:
            self.duplicated.append(f"{entry.request_id} is both {entry.run_id} and {run_id}")
        return entry.stream
