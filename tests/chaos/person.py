"""The person whom a paused run waits for: looks at what took place outside, and lets it go on."""

import asyncio
import time

from chaos import ledger
from chaos.book import Book, Entry
from chaos.persistence import CALL_S, Deadline, persist
from chaos.stage import Stage

from pentad.gateway.v1.run_service_pb2 import ResumeRunRequest
from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.message_pb2 import Payload
from pentad.state.v1.run_pb2 import Pause, Settlement, UnknownEffect
from pentad_cli.connection import Client

REQUESTED = "PAUSE_REQUESTED"
UNKNOWN = "EFFECT_OUTCOME_UNKNOWN"

_SURE_S = 7.0
"""After so long a runner that lives has acted, or never will: more than its answer from the
ledger and the longest call take."""

_POLL_S = 0.1


class Person:
    """Resumes what rests, each time once."""

    def __init__(self, stage: Stage, book: Book) -> None:
        self._stage = stage
        self._book = book
        self._resumed: set[tuple[str, int]] = set()

    async def see_to(self, client: Client, entry: Entry, bound: Deadline) -> None:
        """Resume a run that rests, with what is known of each call that it asks about."""
        stream = entry.stream
        if stream is None or not stream.journal or not stream.journal[-1].HasField("run_paused"):
            return
        event = stream.journal[-1]
        if (stream.run_id, event.seq) in self._resumed:
            return
        pause = event.run_paused.pause
        self._check(entry, stream.journal, pause)
        settlements = [await self._settle(entry, effect) for effect in pause.unknown_effects]
        request = ResumeRunRequest(
            run_id=stream.run_id,
            request_id=f"{entry.request_id}-{event.seq}",
            settlements=settlements,
            reason="looked into",
        )
        await persist(bound, lambda: client.runs.ResumeRun(request, timeout=CALL_S))
        self._resumed.add((stream.run_id, event.seq))

    def _check(self, entry: Entry, journal: list[Event], pause: Pause) -> None:
        """Note a pause that is not for the reason it gives."""
        in_doubt = {e.effect_unknown.call_id for e in journal if e.HasField("effect_unknown")}
        in_doubt -= {e.tool_call_completed.call_id for e in journal}
        asked = {effect.call_id for effect in pause.unknown_effects}
        once = all(e.tool in {ledger.ONCE, ledger.CHECKED} for e in pause.unknown_effects)
        match pause.reason:
            case "PAUSE_REQUESTED":
                true = entry.pause_asked and pause.message == entry.request_id and not asked
            case "EFFECT_OUTCOME_UNKNOWN":
                true = bool(asked) and asked <= in_doubt and once
            case _:
                true = False
        if not true:
            self._book.untrue.append(f"{entry.run_id}: {pause}")

    async def _settle(self, entry: Entry, effect: UnknownEffect) -> Settlement:
        """Find out what became of a call, as soon as nobody can make it any more."""
        key = f"{entry.run_id}/{effect.call_id}"
        entry.settled.append(key)
        began = time.monotonic()
        while not self._took_place(effect.tool, key):
            calm_since = max([began, *(r.woke_at_s for r in self._stage.of("tools"))])
            if time.monotonic() - calm_since > _SURE_S:
                return Settlement(call_id=effect.call_id, not_done=True)
            await asyncio.sleep(_POLL_S)
        result = Payload(content_type="text/plain", text=f"found {key}")
        return Settlement(call_id=effect.call_id, result=result)

    def _took_place(self, tool: str, key: str) -> bool:
        return bool(self._stage.ledger.count()[tool][key])
