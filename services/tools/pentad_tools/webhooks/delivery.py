"""One job of a webhook: what its run has to tell, in order, each notice until it is taken."""

import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pentad.state.v1.entry_service_pb2 import DeleteEntryRequest, GetEntryRequest, PutEntryRequest
from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.job_pb2 import DeliverWebhook, Job
from pentad.state.v1.run_service_pb2 import ListEventsRequest
from pentad.state.v1.webhook_pb2 import DeadLetter, WebhookRecord
from pentad_chassis import scopes
from pentad_chassis.errors import NotFound
from pentad_tools.webhooks.notices import Notice, ends, notice_of, notices_in
from pentad_tools.webhooks.posting import POST_S, NotDelivered, Poster

if TYPE_CHECKING:
    from pentad.state.v1.entry_service_pb2_grpc import EntryServiceAsyncStub
    from pentad.state.v1.run_service_pb2_grpc import RunServiceAsyncStub

DEAD_LETTER_S = 30 * 24 * 3600.0
"""How long a notice that was given up is kept."""

_IDLE_S = 24 * 3600.0
"""A run that goes on nudges its jobs; so often they look whether it is still there."""

_BACKOFF_S, _BACKOFF_S_MAX = 1.0, 600.0
_DOUBLINGS_MAX = 10


@dataclass(frozen=True, slots=True)
class Again:
    """The job as it is to be, and after how many seconds."""

    job: Job
    after_s: float
    afresh: bool
    """Something was delivered: the next failure is a first one."""


class _RunGone(Exception):
    """The run is not kept any more, and there is nothing left to tell."""


class Delivery:
    """Reads journals, posts notices, and gives up those that are too old."""

    def __init__(
        self,
        runs: "RunServiceAsyncStub",
        entries: "EntryServiceAsyncStub",
        poster: Poster,
        max_age_s: float,
        count: Callable[[str], None],
    ) -> None:
        self._runs = runs
        self._entries = entries
        self._poster = poster
        self._max_age_s = max_age_s
        self._count = count

    async def handle(self, job: Job, now: Callable[[], float], until_s: float) -> Again | None:
        """Deliver what there is and return None, or how to go on.

        `now` tells the store's time; nothing is begun that could last beyond `until_s`.
        """
        task = job.deliver_webhook
        record = await self._record(job.tenant, task.webhook)
        if record is None:
            return None  # deleted, and with it what it was not told yet
        try:
            if task.only_seq:
                return await self._redeliver(job, record, now)
            return await self._deliver(job, record, now, until_s)
        except _RunGone:
            return None

    async def _deliver(
        self, job: Job, record: WebhookRecord, now: Callable[[], float], until_s: float
    ) -> Again | None:
        task = job.deliver_webhook
        seen, progressed = task.delivered_seq, False
        async for event in self._events(task.run_id, seen):
            for notice in notices_in([event], record.webhook):
                if now() + POST_S > until_s:
                    return _again(job, seen, 0.0, afresh=True)
                failure = await self._attempt(record, notice)
                if failure and now() - notice.time_ms / 1000 < self._max_age_s:
                    pause_s = backoff_s(1 if progressed else job.attempt)
                    return _again(job, seen, pause_s, afresh=progressed)
                if failure:
                    await self._give_up(job.tenant, task, notice, failure)
                progressed = True
            seen = event.seq
            if ends(event):
                return None
        return _again(job, seen, _IDLE_S, afresh=True)

    async def _redeliver(
        self, job: Job, record: WebhookRecord, now: Callable[[], float]
    ) -> Again | None:
        """Deliver one notice that was given up before; it stays so until it is taken."""
        task = job.deliver_webhook
        async for event in self._events(task.run_id, task.only_seq - 1):
            notice = notice_of(event)
            failure = await self._attempt(record, notice)
            if not failure:
                await self._forget(job.tenant, task.webhook, notice)
            elif now() - job.create_time.ToMilliseconds() / 1000 < self._max_age_s:
                return Again(job, backoff_s(job.attempt), afresh=False)
            else:
                await self._give_up(job.tenant, task, notice, failure)
            return None
        return None

    async def _attempt(self, record: WebhookRecord, notice: Notice) -> str:
        """Return why the notice was not taken; nothing if it was."""
        try:
            await self._poster.post(record.webhook.url, record.secret, notice)
        except NotDelivered as failure:
            self._count("failed")
            return str(failure)
        self._count("delivered")
        return ""

    async def _events(self, run_id: str, after_seq: int) -> AsyncIterator[Event]:
        """Yield a run's journal behind a place, or raise _RunGone."""
        while True:
            request = ListEventsRequest(run_id=run_id, after_seq=after_seq)
            try:
                response = await self._runs.ListEvents(request)
            except NotFound:
                raise _RunGone from None
            for event in response.events:
                yield event
                after_seq = event.seq
            if not response.events:
                return

    async def _record(self, tenant: str, name: str) -> WebhookRecord | None:
        request = GetEntryRequest(scope=scopes.webhooks(tenant), key=name)
        try:
            found = await self._entries.GetEntry(request)
        except NotFound:
            return None
        return WebhookRecord.FromString(found.entry.value)

    async def _give_up(
        self, tenant: str, task: DeliverWebhook, notice: Notice, failure: str
    ) -> None:
        letter = DeadLetter(
            dead_letter_id=_letter_id(task.webhook, notice),
            webhook=task.webhook,
            run_id=task.run_id,
            seq=notice.seq,
            type=notice.kind,
            last_error=failure,
        )
        letter.event_time.FromMilliseconds(notice.time_ms)
        request = PutEntryRequest(
            scope=scopes.dead_letters(tenant),
            key=letter.dead_letter_id,
            value=letter.SerializeToString(),
        )
        request.ttl.FromSeconds(int(DEAD_LETTER_S))
        await self._entries.PutEntry(request)
        self._count("given_up")

    async def _forget(self, tenant: str, webhook: str, notice: Notice) -> None:
        await self._entries.DeleteEntry(
            DeleteEntryRequest(scope=scopes.dead_letters(tenant), key=_letter_id(webhook, notice))
        )


def backoff_s(attempt: int, draw: Callable[[float, float], float] = random.uniform) -> float:
    """Return how long to wait after a failed attempt, from 1: twice as long each, to 10 min."""
    longest = min(_BACKOFF_S_MAX, _BACKOFF_S * 2.0 ** min(max(attempt - 1, 0), _DOUBLINGS_MAX))
    return draw(longest / 2, longest)


def _letter_id(webhook: str, notice: Notice) -> str:
    return f"{webhook}/{notice.notice_id}"


def _again(job: Job, seen: int, after_s: float, *, afresh: bool) -> Again:
    again = Job()
    again.CopyFrom(job)
    again.deliver_webhook.delivered_seq = seen
    return Again(again, after_s, afresh)
