"""Events start runs: each that a condition holds for one, whatever dies in between."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from harness.fakes import direct, fault

from pentad.state.v1 import entry_service_pb2 as entries_pb
from pentad.state.v1 import job_service_pb2 as jobs_pb
from pentad.state.v1 import topic_service_pb2 as topics_pb
from pentad.state.v1.job_pb2 import Job, RunTrigger
from pentad.state.v1.job_service_pb2 import ClaimedJob
from pentad.state.v1.message_pb2 import Payload
from pentad.state.v1.run_pb2 import MultiStepWorkflow, Run, RunSpec, Step
from pentad.state.v1.topic_pb2 import TopicEvent
from pentad.state.v1.trigger_pb2 import Trigger, TriggerRecord
from pentad_chassis.clock import FakeClock
from pentad_chassis.errors import Aborted, NotFound, OutOfRange, ResourceExhausted, ServiceError
from pentad_chassis.telemetry import silent_telemetry
from pentad_orchestrator.triggers.matching import InputTooLarge, holds, spec_for
from pentad_orchestrator.triggers.running import Triggering
from pentad_orchestrator.triggers.store import TriggerStore

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000
GENERATION = 7


def event(text: str = "{}", seq: int = 1, kind: str = "application/json") -> TopicEvent:
    return TopicEvent(
        topic="orders",
        seq=seq,
        payload=Payload(content_type=kind, text=text),
        attributes={"region": "eu", "n": "1"},
    )


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("", True),
        ("event.total > 100", True),
        ("event.total > 1000", False),
        ("event.lines[1].sku == 'b' && topic == 'orders'", True),
        ("attributes.region == 'eu'", True),
        ("event.missing > 1", False),
        ("event.total == 'text'", False),
        ("has(event.missing)", False),
    ],
)
def test_a_condition_speaks_of_what_was_published(condition: str, *, expected: bool) -> None:
    published = event('{"total": 120.5, "lines": [{"sku": "a"}, {"sku": "b"}]}')

    assert holds(Trigger(condition=condition), published) is expected


@pytest.mark.parametrize("text", ["not json", "[" * 60_000, '{"a": 1' + "0" * 400 + "}"])
def test_what_cannot_be_read_is_text_and_holds_up_nobody(text: str) -> None:
    assert holds(Trigger(condition="event.a == 1"), event(text)) is False
    assert holds(Trigger(condition="topic == 'orders'"), event(text)) is True


def test_text_is_text() -> None:
    published = event("hello", kind="text/plain")

    assert holds(Trigger(condition="event.contains('ell')"), published)
    assert spec_for(Trigger(spec=RunSpec(input="<{event}|{event.a}>")), published).input == (
        "<hello|>"
    )


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{event}", '{"a": {"b": [1, "x", null, true]}}'),
        ("{event.a}", '{"b":[1,"x",null,true]}'),
        ("{event.a.b.0}{event.a.b.1}{event.a.b.2}{event.a.b.3}", "1xtrue"),
        ("{event.a.b.9}{event.a.c}{event.nothing.at.all}", ""),
        ("{topic} {attributes.region}{attributes.none}", "orders eu"),
        ("{events} {event .a} {Event} {", "{events} {event .a} {Event} {"),
    ],
)
def test_placeholders_stand_for_parts_of_the_event(template: str, expected: str) -> None:
    trigger = Trigger(spec=RunSpec(agent="a", input=template))
    trigger.spec.multi_step.CopyFrom(MultiStepWorkflow(steps=[Step(name="s", input=template)]))

    spec = spec_for(trigger, event('{"a": {"b": [1, "x", null, true]}}'))

    assert (spec.agent, spec.input, spec.multi_step.steps[0].input) == ("a", expected, expected)


def test_an_event_is_not_a_template() -> None:
    trigger = Trigger(spec=RunSpec(input="{event} {topic}"))

    assert spec_for(trigger, event("{topic} {event.a}")).input == "{topic} {event.a} orders"


def test_an_input_that_grows_too_large_is_refused() -> None:
    trigger = Trigger(spec=RunSpec(input="{event}" * 10))

    with pytest.raises(InputTooLarge):
        spec_for(trigger, event("x" * 60_000))


@dataclass
class State:
    """The state service as far as triggers need it."""

    record: TriggerRecord | None = None
    version: int = 1
    events: list[TopicEvent] = field(default_factory=list)
    oldest_seq: int = 0
    attached: list[str] = field(default_factory=list)
    detached: list[int] = field(default_factory=list)

    async def GetEntry(
        self, request: entries_pb.GetEntryRequest, context: object
    ) -> entries_pb.GetEntryResponse:
        if self.record is None:
            raise fault(NotFound, "ENTRY_NOT_FOUND")
        entry = entries_pb.Entry(value=self.record.SerializeToString(), version=self.version)
        entry.create_time.FromMilliseconds(GENERATION)
        return entries_pb.GetEntryResponse(entry=entry)

    async def PutEntry(
        self, request: entries_pb.PutEntryRequest, context: object
    ) -> entries_pb.PutEntryResponse:
        if request.expected_version != self.version:
            raise fault(Aborted, "VERSION_MISMATCH")
        self.record = TriggerRecord.FromString(request.value)
        self.version += 1
        return entries_pb.PutEntryResponse(entry=entries_pb.Entry(version=self.version))

    async def ReadTopic(
        self, request: topics_pb.ReadTopicRequest, context: object
    ) -> topics_pb.ReadTopicResponse:
        if 0 < request.after_seq < self.oldest_seq:
            expired = fault(OutOfRange, "CURSOR_EXPIRED")
            expired.metadata["oldest_seq"] = str(self.oldest_seq)
            raise expired
        behind = [e for e in self.events if e.seq > max(request.after_seq, self.oldest_seq)]
        last = self.events[-1].seq if self.events else 0
        return topics_pb.ReadTopicResponse(events=behind[: request.limit], last_seq=last)

    async def AttachTrigger(
        self, request: topics_pb.AttachTriggerRequest, context: object
    ) -> topics_pb.AttachTriggerResponse:
        self.attached.append(request.trigger)
        return topics_pb.AttachTriggerResponse()

    async def DetachTrigger(
        self, request: topics_pb.DetachTriggerRequest, context: object
    ) -> topics_pb.DetachTriggerResponse:
        self.detached.append(request.generation)
        return topics_pb.DetachTriggerResponse()

    async def PutJob(
        self, request: jobs_pb.PutJobRequest, context: object
    ) -> jobs_pb.PutJobResponse:
        return jobs_pb.PutJobResponse()


class Desk:
    """A handler with all that it needs; runs are what was asked for, by request id."""

    def __init__(self) -> None:
        self.state = State()
        self.runs: dict[str, str] = {}
        self.refuses: ServiceError | None = None
        self.refuses_behind = 0
        stub = direct(self.state)
        store = TriggerStore(stub, stub, stub, FakeClock())
        self.handler = Triggering(store, stub, self.create_run, silent_telemetry("orchestrator"))

    def trigger(self, condition: str = "") -> None:
        spec = RunSpec(agent="a", input="{event}")
        trigger = Trigger(name="t", topic="orders", condition=condition, spec=spec)
        self.state.record = TriggerRecord(trigger=trigger, request_id="r")

    def publish(self, *texts: str) -> None:
        for text in texts:
            self.state.events.append(event(text, seq=len(self.state.events) + 1))

    async def create_run(self, tenant: str, spec: RunSpec, request_id: str) -> Run:
        assert tenant == "acme"
        if self.refuses is not None and len(self.runs) >= self.refuses_behind:
            raise self.refuses
        self.runs[request_id] = spec.input
        return Run(run_id=request_id)

    async def run(self, read_seq: int = 0, generation: int = GENERATION) -> Job | None:
        task = RunTrigger(trigger="t", topic="orders", read_seq=read_seq, generation=generation)
        claimed = ClaimedJob(job=Job(job_id="j", tenant="acme", place="p", run_trigger=task))
        claimed.claim_time.FromMilliseconds(NOW_MS)
        return await self.handler.run(claimed)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def ids(*seqs: int) -> list[str]:
    return [f"pentad:trigger/t/{GENERATION}/{seq}" for seq in seqs]


def stands(job: Job | None) -> tuple[int, int]:
    """Return how far a job has read, and in how many ms it is to be done again."""
    assert job is not None
    return job.run_trigger.read_seq, job.due_time.ToMilliseconds() - NOW_MS


async def test_each_event_that_fits_starts_a_run_under_a_name_of_its_own(desk: Desk) -> None:
    desk.trigger("event.go")
    desk.publish('{"go": true}', '{"go": false}', "nothing", '{"go": true, "n": 4}')

    job = await desk.run()

    assert desk.runs == dict(zip(ids(1, 4), ['{"go": true}', '{"go": true, "n": 4}'], strict=True))
    assert stands(job) == (4, DAY_MS)


async def test_what_is_done_again_starts_nothing_anew(desk: Desk) -> None:
    desk.trigger()
    desk.publish("{}", "{}")

    await desk.run()
    first = dict(desk.runs)
    await desk.run()

    assert desk.runs == first


async def test_a_long_backlog_is_done_in_pieces(desk: Desk) -> None:
    desk.trigger()
    desk.publish(*["{}"] * 45)

    at, rounds = 0, []
    for _ in range(3):
        at, pause_ms = stands(await desk.run(at))
        rounds.append((at, pause_ms))

    assert rounds == [(20, 0), (40, 0), (45, DAY_MS)]
    assert list(desk.runs) == ids(*range(1, 46))


async def test_what_passes_is_waited_for_and_nothing_is_left_out(desk: Desk) -> None:
    desk.trigger()
    desk.publish("{}", "{}", "{}")
    desk.refuses, desk.refuses_behind = fault(ResourceExhausted, "SCHEDULE_FULL"), 2

    assert stands(await desk.run()) == (2, 1000)
    with pytest.raises(ResourceExhausted):
        await desk.run(2)

    desk.refuses = None
    assert stands(await desk.run(2)) == (3, DAY_MS)
    assert list(desk.runs) == ids(1, 2, 3)


async def test_a_run_that_can_never_be_is_passed_by_and_the_trigger_says_why(desk: Desk) -> None:
    desk.trigger()
    desk.publish("{}", "{}")
    desk.refuses = fault(NotFound, "AGENT_NOT_FOUND")

    assert stands(await desk.run()) == (2, DAY_MS)

    assert desk.state.record is not None
    last = desk.state.record.trigger.last_failure
    assert (last.seq, last.failure.reason) == (2, "AGENT_NOT_FOUND")


async def test_events_that_are_gone_are_passed_by(desk: Desk) -> None:
    desk.trigger()
    desk.publish("{}", "{}", "{}", "{}")
    desk.state.oldest_seq = 3

    assert stands(await desk.run(1)) == (4, DAY_MS)

    assert list(desk.runs) == ids(4)


@pytest.mark.parametrize("generation", [GENERATION - 1, GENERATION + 1])
async def test_a_trigger_of_another_time_is_forgotten(desk: Desk, generation: int) -> None:
    desk.trigger()
    desk.publish("{}")

    assert await desk.run(generation=generation) is None

    assert (desk.runs, desk.state.detached) == ({}, [generation])


async def test_a_trigger_that_is_deleted_is_forgotten(desk: Desk) -> None:
    desk.publish("{}")

    assert await desk.run() is None

    assert (desk.runs, desk.state.detached) == ({}, [GENERATION])


@pytest.mark.parametrize(("is_there", "attached"), [(True, ["t"]), (False, [])])
async def test_a_creation_that_was_cut_short_is_mended(
    desk: Desk, attached: Sequence[str], *, is_there: bool
) -> None:
    if is_there:
        desk.trigger()

    assert await desk.run(generation=0) is None

    assert desk.state.attached == attached
