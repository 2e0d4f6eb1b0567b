"""What a run was told, until it is journalled: each thing once, in the order in which it came."""

from collections import deque

from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_service_pb2 import RunSignals
from pentad_orchestrator import plan
from pentad_orchestrator.run import Run


class Inbox:
    """Numbers count all that the run was ever told; the store hands out again what is not heard."""

    def __init__(self) -> None:
        self._told: deque[tuple[int, Event]] = deque()
        self._last = 0
        self.heard = 0
        """All up to this one is taken; what an append says, and the store forgets."""

    def put(self, signals: RunSignals) -> bool:
        """Keep what is new; return whether anything is."""
        last = self._last
        for number, event in enumerate(signals.events, signals.first):
            if number > self._last:
                self._told.append((number, event))
                self._last = number
        return self._last > last

    def take(self, run: Run, bytes_max: int) -> tuple[list[Event], Run]:
        """Return what the run is to journal now, and the run after it.

        What means nothing to it any more, such as the decision on an approval that it withdrew,
        counts as heard.
        """
        events: list[Event] = []
        size = 0
        while self._told and size < bytes_max:
            number, event = self._told[0]
            if event.WhichOneof("kind") is None:
                break  # Said by a newer version; one of its replicas hears it.
            self._told.popleft()
            self.heard = number
            if plan.follows(run, event):
                run = plan.evolve(run, event)
                events.append(event)
                size += event.ByteSize()
        return events, run

    def __bool__(self) -> bool:
        return bool(self._told)
