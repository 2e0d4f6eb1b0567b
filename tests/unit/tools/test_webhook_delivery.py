"""What becomes of a webhook's job: notices in order, each until it is taken or given up."""

import json
from dataclasses import dataclass, field

import pytest
from harness.fakes import direct, fault

from pentad.state.v1 import entry_service_pb2 as entries_pb
from pentad.state.v1 import run_service_pb2 as runs_pb
from pentad.state.v1.event_pb2 import (
    Event,
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunFailed,
    RunPaused,
    RunStarted,
    RunWaiting,
)
from pentad.state.v1.job_pb2 import QUEUE_WEBHOOKS, DeliverWebhook, Job
from pentad.state.v1.run_pb2 import Failure
from pentad.state.v1.webhook_pb2 import DeadLetter, Webhook, WebhookRecord
from pentad_chassis import scopes
from pentad_chassis.errors import NotFound
from pentad_tools.webhooks.delivery import Again, Delivery, backoff_s
from pentad_tools.webhooks.notices import Notice, notice_of, notices_in
from pentad_tools.webhooks.posting import POST_S, NotDelivered

NOW_S = 1_800_000_000.0
DAY_S = 86_400.0
CREATED = Event(run_created=RunCreated())
STARTED = Event(run_started=RunStarted())
WAITING = Event(run_waiting=RunWaiting())
PAUSED = Event(run_paused=RunPaused())
DONE = Event(run_completed=RunCompleted(output="42"))


@dataclass
class Store:
    """Journals and entries."""

    events: list[Event] = field(default_factory=list)
    entries: dict[tuple[str, str], bytes] = field(default_factory=dict)
    page: int = 2
    is_gone: bool = False

    def journal(self, *events: Event, time_s: float = NOW_S) -> None:
        for event in events:
            kept = Event(run_id="run", seq=len(self.events) + 1)
            kept.MergeFrom(event)
            kept.time.FromMilliseconds(int(time_s * 1000))
            self.events.append(kept)

    def webhook(self, *notices: Webhook.Notice.ValueType) -> None:
        webhook = Webhook(name="hook", url="https://example.com/", notices=notices)
        record = WebhookRecord(webhook=webhook, secret="s" * 16)
        self.entries[scopes.webhooks("acme"), "hook"] = record.SerializeToString()

    @property
    def letters(self) -> list[DeadLetter]:
        scope = scopes.dead_letters("acme")
        return [DeadLetter.FromString(v) for (s, _), v in self.entries.items() if s == scope]

    async def ListEvents(
        self, request: runs_pb.ListEventsRequest, context: object
    ) -> runs_pb.ListEventsResponse:
        if self.is_gone:
            raise fault(NotFound, "RUN_NOT_FOUND")
        behind = self.events[request.after_seq :]
        return runs_pb.ListEventsResponse(events=behind[: self.page])

    async def GetEntry(
        self, request: entries_pb.GetEntryRequest, context: object
    ) -> entries_pb.GetEntryResponse:
        value = self.entries.get((request.scope, request.key))
        if value is None:
            raise fault(NotFound, "ENTRY_NOT_FOUND")
        return entries_pb.GetEntryResponse(entry=entries_pb.Entry(value=value))

    async def PutEntry(
        self, request: entries_pb.PutEntryRequest, context: object
    ) -> entries_pb.PutEntryResponse:
        assert request.ttl.seconds > 0
        self.entries[request.scope, request.key] = request.value
        return entries_pb.PutEntryResponse()

    async def DeleteEntry(
        self, request: entries_pb.DeleteEntryRequest, context: object
    ) -> entries_pb.DeleteEntryResponse:
        self.entries.pop((request.scope, request.key), None)
        return entries_pb.DeleteEntryResponse()


@dataclass
class Outside:
    """A receiver; it fails as often as it is told to."""

    taken: list[str] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    fails: int = 0
    fails_behind: int | None = None
    """It takes so many, and none behind them."""

    async def post(self, url: str, secret: str, notice: Notice) -> None:
        assert (url, secret) == ("https://example.com/", "s" * 16)
        self.tried.append(notice.notice_id)
        if self.fails or len(self.taken) == self.fails_behind:
            self.fails = max(self.fails - 1, 0)
            raise NotDelivered("answered 500")
        self.taken.append(notice.notice_id)


class Desk:
    """A delivery with all that it needs."""

    def __init__(self) -> None:
        self.store = Store()
        self.store.webhook()
        self.outside = Outside()
        self.now_s = NOW_S
        self.counted: list[str] = []
        stub = direct(self.store)
        self.delivery = Delivery(stub, stub, self.outside, DAY_S, self.counted.append)  # type: ignore[arg-type]

    async def handle(self, job: Job, lease_s: float = 50.0) -> Again | None:
        return await self.delivery.handle(job, lambda: self.now_s, self.now_s + lease_s)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def job(delivered_seq: int = 0, attempt: int = 1, only_seq: int = 0) -> Job:
    made = Job(job_id="j", tenant="acme", place="run", queue=QUEUE_WEBHOOKS, attempt=attempt)
    made.create_time.FromMilliseconds(int(NOW_S * 1000))
    made.deliver_webhook.CopyFrom(
        DeliverWebhook(run_id="run", webhook="hook", delivered_seq=delivered_seq, only_seq=only_seq)
    )
    return made


async def test_notices_are_delivered_in_order_and_the_job_ends_with_the_run(desk: Desk) -> None:
    desk.store.journal(CREATED, STARTED, WAITING, STARTED, PAUSED, STARTED, DONE)

    assert await desk.handle(job()) is None

    assert desk.outside.taken == ["run/3", "run/5", "run/7"]
    assert desk.counted == ["delivered"] * 3


async def test_a_run_that_goes_on_leaves_a_job_that_sleeps_behind_what_was_told(
    desk: Desk,
) -> None:
    desk.store.journal(CREATED, STARTED, WAITING)

    again = await desk.handle(job())
    assert again is not None
    assert (again.job.deliver_webhook.delivered_seq, again.afresh) == (3, True)
    assert again.after_s > 3600

    desk.store.journal(STARTED, DONE)
    assert await desk.handle(again.job) is None
    assert desk.outside.taken == ["run/3", "run/5"]


async def test_what_is_not_taken_is_tried_again_before_anything_behind_it(desk: Desk) -> None:
    desk.store.journal(CREATED, WAITING, PAUSED, DONE)
    desk.outside.fails = 1

    again = await desk.handle(job(attempt=3))
    assert again is not None
    assert (again.job.deliver_webhook.delivered_seq, again.afresh) == (1, False)
    assert 2.0 <= again.after_s <= 4.0
    assert await desk.handle(again.job) is None

    assert desk.outside.tried == ["run/2", "run/2", "run/3", "run/4"]


async def test_a_failure_behind_a_success_is_a_first_one(desk: Desk) -> None:
    desk.store.journal(CREATED, WAITING, DONE)
    desk.outside.fails_behind = 1

    again = await desk.handle(job(attempt=9))

    assert again is not None
    assert (again.job.deliver_webhook.delivered_seq, again.afresh) == (2, True)
    assert again.after_s <= 1.0


async def test_a_notice_that_is_too_old_is_given_up_after_one_more_attempt(desk: Desk) -> None:
    desk.store.journal(CREATED, WAITING, time_s=NOW_S - DAY_S)
    desk.store.journal(STARTED, DONE)
    desk.outside.fails = 1

    assert await desk.handle(job(attempt=200)) is None

    assert desk.outside.tried == ["run/2", "run/4"]
    assert desk.outside.taken == ["run/4"]
    (letter,) = desk.store.letters
    assert (letter.dead_letter_id, letter.webhook, letter.run_id) == ("hook/run/2", "hook", "run")
    assert (letter.seq, letter.type, letter.last_error) == (2, "run_waiting", "answered 500")
    assert desk.counted == ["failed", "given_up", "delivered"]


async def test_a_dead_letter_is_delivered_by_itself_and_leaves_the_list(desk: Desk) -> None:
    desk.store.journal(CREATED, WAITING, time_s=NOW_S - 2 * DAY_S)
    desk.store.journal(STARTED, DONE)
    desk.outside.fails = 1
    await desk.handle(job())
    assert desk.store.letters

    desk.outside.fails = 1
    again = await desk.handle(job(only_seq=2))
    assert again is not None
    assert desk.store.letters
    assert await desk.handle(again.job) is None

    assert desk.outside.taken == ["run/4", "run/2"]
    assert desk.store.letters == []


async def test_a_dead_letter_that_nobody_takes_stays_one(desk: Desk) -> None:
    desk.store.journal(CREATED, DONE)
    desk.outside.fails = 1
    desk.now_s = NOW_S + DAY_S

    assert await desk.handle(job(only_seq=2)) is None

    assert [letter.seq for letter in desk.store.letters] == [2]


async def test_a_webhook_that_is_deleted_is_told_nothing(desk: Desk) -> None:
    desk.store.journal(CREATED, DONE)
    desk.store.entries.clear()

    assert await desk.handle(job()) is None

    assert desk.outside.tried == []


async def test_a_run_that_is_gone_ends_the_job(desk: Desk) -> None:
    desk.store.is_gone = True

    assert await desk.handle(job(delivered_seq=5)) is None
    assert await desk.handle(job(only_seq=5)) is None


async def test_nothing_is_begun_that_could_outlast_the_lease(desk: Desk) -> None:
    desk.store.journal(CREATED, WAITING, DONE)

    again = await desk.handle(job(), lease_s=POST_S - 1)

    assert again is not None
    assert (again.after_s, again.job.deliver_webhook.delivered_seq) == (0.0, 1)
    assert desk.outside.tried == []


async def test_a_webhook_is_told_of_what_it_wants_alone(desk: Desk) -> None:
    desk.store.journal(CREATED, WAITING, PAUSED, DONE)
    desk.store.webhook(Webhook.NOTICE_TERMINAL)
    await desk.handle(job())
    desk.store.webhook(Webhook.NOTICE_WAITING)
    await desk.handle(job())

    assert desk.outside.taken == ["run/4", "run/2", "run/3"]


def test_a_notice_says_what_the_event_says() -> None:
    store = Store()
    failed = Event(run_failed=RunFailed(failure=Failure(reason="NO_PROGRESS")))
    store.journal(failed, Event(run_cancelled=RunCancelled(reason="enough")), DONE)

    told = [json.loads(notice.body) for notice in notices_in(store.events, Webhook())]

    assert [each["type"] for each in told] == ["run_failed", "run_cancelled", "run_completed"]
    assert [each["run"]["state"] for each in told] == ["FAILED", "CANCELLED", "COMPLETED"]
    assert told[0]["run"]["failure"] == {"reason": "NO_PROGRESS"}
    assert told[1]["run"]["reason"] == "enough"
    assert told[2] == {
        "id": "run/3",
        "type": "run_completed",
        "time": "2027-01-15T08:00:00Z",
        "run": {"run_id": "run", "state": "COMPLETED", "output": "42"},
    }


def test_an_output_that_is_too_long_for_a_notice_is_cut() -> None:
    store = Store()
    store.journal(Event(run_completed=RunCompleted(output="é" * 100_000)))

    told = json.loads(notice_of(store.events[0]).body)

    assert told["run"]["output"] == "é" * 65_536
    assert told["run"]["output_cut"] is True


def test_pauses_grow_to_ten_minutes() -> None:
    longest = [backoff_s(attempt, lambda _, most: most) for attempt in (0, 1, 2, 5, 10, 11, 999)]

    assert longest == [1, 1, 2, 16, 512, 600, 600]
