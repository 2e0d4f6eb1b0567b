"""Holds what the suite says in the end against what clients saw and what took place outside."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from chaos import ledger
from chaos.agents import IDLER
from chaos.book import Book, Entry
from chaos.injector import Blow
from chaos.ledger import Ledger
from chaos.persistence import CALL_S, Deadline, persist
from chaos.stage import ENGINE, PRIMARY
from chaos.stream import Stream

from pentad.gateway.v1.run_service_pb2 import GetRunRequest, ListRunsRequest, TailRunRequest
from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_pb2 import Run, RunStatus
from pentad_chassis.channel import reading
from pentad_chassis.errors import NotFound
from pentad_cli.connection import Client

_ENDED = frozenset({RunStatus.STATE_COMPLETED, RunStatus.STATE_FAILED, RunStatus.STATE_CANCELLED})
_PAGE = 500
_STREAM_S = 10.0
_POISONED = "RUN_POISONED"
_OWNERS = 5
"""So many owners in a row that were lost on a run end it."""

_AFTERMATH_S = 5.0
"""What a blow did may show so much later: until then a runner waits, or is awaited."""


@dataclass
class Findings:
    """What is wrong, each in a line, and what there was."""

    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    untrue: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    deaths: list[str] = field(default_factory=list)
    ended: Counter[str] = field(default_factory=Counter)
    pickups_s: list[float] = field(default_factory=list)

    def add(self, other: "Findings") -> None:
        """Take in what was found elsewhere."""
        for name, found in self.wrong().items():
            found.extend(getattr(other, name))
        self.ended += other.ended
        self.pickups_s += other.pickups_s

    def wrong(self) -> dict[str, list[str]]:
        """Return all that must be empty."""
        names = ("lost", "duplicated", "stuck", "gaps", "untrue", "failed", "errors", "deaths")
        return {name: getattr(self, name) for name in names}


class Judge:
    """Looks at everything once the suite is whole again."""

    def __init__(
        self,
        client: Client,
        book: Book,
        outside: Ledger,
        blows: Sequence[Blow],
        bound: Deadline,
    ) -> None:
        self._client = client
        self._book = book
        self._counts = outside.count()
        self._outside = outside
        self._blows = [blow for blow in blows if _hits_a_call(blow)]
        self._bound = bound
        self.findings = Findings(
            duplicated=list(book.duplicated), untrue=list(book.untrue), errors=list(book.errors)
        )

    async def judge(self) -> Findings:
        """Return what was found."""
        try:
            for entry in self._book.entries:
                if entry.stream is None:
                    self.findings.stuck.append(f"{entry.request_id} was never accepted")
                else:
                    await self._judge_run(entry, entry.stream)
            await self._judge_others()
        except TimeoutError as error:
            self.findings.stuck.append(f"the suite does not answer any more: {error}")
        self._judge_effects()
        return self.findings

    async def _judge_run(self, entry: Entry, stream: Stream) -> None:
        self.findings.gaps += stream.breaks
        request, get_run = GetRunRequest(run_id=stream.run_id), self._client.runs.GetRun
        try:
            run = (await persist(self._bound, lambda: get_run(request, timeout=CALL_S))).run
        except NotFound:
            self.findings.lost.append(f"{stream.run_id} of {entry.request_id} does not exist")
            return
        state = RunStatus.State.Name(run.status.state).removeprefix("STATE_").lower()
        self.findings.ended[f"{state} {run.status.failure.reason}".strip()] += 1
        if run.status.state not in _ENDED:
            self.findings.stuck.append(f"{stream.run_id} of {entry.request_id}: {run.status}")
            return
        whole = Stream(stream.run_id)
        await persist(self._bound, lambda: self._tail(whole))
        self._compare(entry, run, stream, whole)

    async def _tail(self, whole: Stream) -> None:
        request = TailRunRequest(run_id=whole.run_id, after=whole.cursor)
        async with reading(self._client.runs.TailRun(request, timeout=_STREAM_S)) as responses:
            async for response in responses:
                for event in response.events:
                    whole.take(event)

    def _compare(self, entry: Entry, run: Run, seen: Stream, whole: Stream) -> None:
        self.findings.gaps += whole.breaks
        if not whole.ended or run.last_seq != len(whole.journal):
            self.findings.gaps.append(
                f"{run.run_id}: {len(whole.journal)} of {run.last_seq} events"
            )
        if seen.journal != whole.journal[: len(seen.journal)]:
            self.findings.gaps.append(f"{run.run_id}: the journal is not what its client saw")
        if not seen.ended:
            self.findings.stuck.append(f"{run.run_id}: its client never saw the end")
        self._judge_end(entry, run, whole.journal)
        self._judge_calls(whole.journal)
        self._judge_doubts(whole.journal)
        if any(event.HasField("run_started") for event in whole.journal):
            self.findings.pickups_s.append(pickup_s(whole.journal))

    def _judge_end(self, entry: Entry, run: Run, journal: list[Event]) -> None:
        status = run.status
        if status.state == RunStatus.STATE_FAILED and not (
            status.failure.reason == _POISONED and _owners_lost(journal) >= _OWNERS
        ):
            self.findings.failed.append(f"{run.run_id}: {status.failure}")
        if status.state == RunStatus.STATE_CANCELLED and not (
            entry.cancel_asked and status.cancel_reason == entry.request_id
        ):
            self.findings.untrue.append(f"{run.run_id} was cancelled for {status.cancel_reason!r}")

    def _judge_calls(self, journal: list[Event]) -> None:
        """Find results that are journalled, and whose effect nobody outside knows of."""
        for event in journal:
            call = event.tool_call_completed
            key = f"{event.run_id}/{call.call_id}"
            if call.HasField("result") and not self._counts[call.tool][key]:
                self.findings.lost.append(f"{key}: {call.tool} has a result and took no place")

    def _judge_doubts(self, journal: list[Event]) -> None:
        """Find calls that are said to be in doubt, while nothing had happened to their runner."""
        began: dict[str, float] = {}
        for event in journal:
            if event.HasField("tool_call_started"):
                began[event.tool_call_started.call_id] = _seconds(event)
            call_id, at_s = event.effect_unknown.call_id, _seconds(event)
            if call_id and not any(
                blow.began_s < at_s and blow.ended_s + _AFTERMATH_S > began[call_id]
                for blow in self._blows
            ):
                self.findings.untrue.append(f"{event.run_id}/{call_id}: nothing cast a doubt on it")

    def _judge_effects(self) -> None:
        for key, count in self._counts[ledger.ONCE].items():
            if count > 1:
                lines = "; ".join(self._outside.about(key))
                self.findings.duplicated.append(f"{key} took place {count} times: {lines}")
        accepted = {entry.run_id for entry in self._book.entries}
        for counts in self._counts.values():
            for key in counts:
                if key.partition("/")[0] not in accepted:
                    self.findings.duplicated.append(f"{key} is of no run that was asked for")

    async def _judge_others(self) -> None:
        """Find runs that no request became, and requests whose run is not listed."""
        accepted = {entry.run_id for entry in self._book.entries if entry.run_id}
        listed = {run.run_id async for run in self._listed() if run.spec.agent != IDLER}
        self.findings.duplicated += [f"{run_id} is nobody's" for run_id in listed - accepted]
        self.findings.lost += [f"{run_id} is not listed" for run_id in accepted - listed]

    async def _listed(self) -> AsyncIterator[Run]:
        request = ListRunsRequest(page_size=_PAGE)
        list_runs = self._client.runs.ListRuns
        while True:
            page = await persist(self._bound, lambda: list_runs(request, timeout=CALL_S))
            for run in page.runs:
                yield run
            request.page_token = page.next_page_token
            if not request.page_token:
                return


def pickup_s(events: Sequence[Event]) -> float:
    """Return how long a run waited until somebody took it, by the store's clock."""
    started = next(event for event in events if event.HasField("run_started"))
    return _seconds(started) - _seconds(events[0])


def _owners_lost(journal: Sequence[Event]) -> int:
    """Return how many owners were lost in a row, in the end, while nothing was completed."""
    lost = 0
    for event in journal:
        lost += event.run_started.owner_lost
        if (event.WhichOneof("kind") or "").endswith("_completed"):
            lost = 0
    return lost


def _seconds(event: Event) -> float:
    return event.time.ToNanoseconds() / 1e9


def _hits_a_call(blow: Blow) -> bool:
    """Whether it could take a runner away, or the runner's way to its ledger."""
    return any(name in blow.target for name in ("tools", "state", ENGINE, PRIMARY))
