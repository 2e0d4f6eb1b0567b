"""What must hold in every simulation, looked at with every step of the store."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_pb2 import RunStatus
from pentad.state.v1.run_service_pb2 import AppendEventsRequest
from pentad_chassis.clock import SystemClock
from pentad_orchestrator import plan
from pentad_orchestrator.fold import UnexpectedEvent
from pentad_orchestrator.run import Run

if TYPE_CHECKING:
    from simulation.ledger import Ledger


class Watch:
    """Folds every journal as it grows, and notes what it must not see."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.violations: list[str] = []
        self.notes: list[str] = []
        """What happened, in order: the trace of the simulation."""
        self.kinds: Counter[str] = Counter()
        self.ledger: Ledger | None = None
        self._started: defaultdict[str, set[str]] = defaultdict(set)
        self._shown: defaultdict[str, list[bytes]] = defaultdict(list)
        self._clock = SystemClock()

    def note(self, what: str) -> None:
        """Add a line to the trace."""
        self.notes.append(f"{self._clock.monotonic():.6f} {what}")

    def violated(self, what: str) -> None:
        """Note what must not be."""
        self.violations.append(what)
        self.note(f"VIOLATION {what}")

    def created(self, run_id: str, event: Event) -> None:
        """A run was accepted."""
        self.runs[run_id] = plan.begin(event)
        self.note(f"{run_id} created")

    def appended(self, fence: int, request: AppendEventsRequest, recorded: Sequence[Event]) -> None:
        """A journal grew: by its latest owner only, and by what can follow."""
        run_id = request.lease.run_id
        if request.lease.fence != fence:
            self.violated(f"{run_id}: owner {request.lease.fence} wrote after {fence} took it")
        if recorded[0].seq != request.expected_seq + 1:
            self.violated(f"{run_id}: its journal is not what its owner takes it for")
        self.grew(run_id, recorded, request.status)

    def grew(self, run_id: str, recorded: Sequence[Event], status: RunStatus) -> None:
        """A journal grew, by its owner or as it was created: by what can follow."""
        run = self.runs[run_id]
        for event in recorded:
            kind = str(event.WhichOneof("kind"))
            self.kinds[kind] += 1
            self.note(f"{run_id} {event.seq} {kind}")
            if run.ended:
                self.violated(f"{run_id}: {kind} follows the end")
                return
            if kind == "tool_call_started":
                self._started[run_id].add(event.tool_call_started.call_id)
            try:
                run = plan.evolve(run, event)
            except UnexpectedEvent as unexpected:
                self.violated(f"{run_id}: {unexpected}")
                return
        self.runs[run_id] = run
        self._check_status(run, status)
        self._check_bounds(run)
        self.shown(run_id, recorded)

    def shown(self, run_id: str, events: Sequence[Event]) -> None:
        """Somebody was shown a part of a journal, which must stay as it is."""
        known = self._shown[run_id]
        for event in events:
            kept = event.SerializeToString(deterministic=True)
            if event.seq <= len(known) and known[event.seq - 1] != kept:
                self.violated(f"{run_id}: event {event.seq} is not what it was")
            elif event.seq == len(known) + 1:
                known.append(kept)

    def turn_executed(self, run_id: str, turn: int) -> None:
        """A model was called, as the journal must say beforehand."""
        self.note(f"{run_id} turn {turn} executed")
        if turn > self.runs[run_id].turn:
            self.violated(f"{run_id}: turn {turn} is executed and not journalled")

    def call_executed(self, key: str) -> None:
        """A tool was called, as the journal must say beforehand, and which nobody ended before."""
        run_id, _, call_id = key.partition("/")
        self.note(f"{run_id} call {call_id} executed")
        if call_id not in self._started[run_id]:
            self.violated(f"{key} is executed and not journalled")
        if self.ledger is not None and self.ledger.done(run_id, call_id):
            self.violated(f"{key} is executed after it has ended")

    def _check_status(self, run: Run, status: RunStatus) -> None:
        if plan.status(run) != status:
            self.violated(f"{run.run_id}: its status is not what its journal tells")

    def _check_bounds(self, run: Run) -> None:
        if run.turn > run.bounds.turns or run.calls_started > run.bounds.tool_calls:
            self.violated(f"{run.run_id}: it uses more than it may")
