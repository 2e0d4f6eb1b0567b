"""The state service over gRPC, as its peers see it."""

import asyncio
import io
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from harness.runs import (
    COMPLETED,
    DONE,
    PAUSED,
    RESTS,
    RUNNING,
    SPEC,
    STARTED,
    TENANT,
    TURN,
    TURN_DONE,
    WAITING,
    WAITS,
    by,
    numbers,
    seconds,
    word,
)

from pentad.state.v1.agent_pb2 import Agent
from pentad.state.v1.agent_service_pb2 import CreateAgentRequest, ListAgentsRequest
from pentad.state.v1.agent_service_pb2_grpc import AgentServiceStub
from pentad.state.v1.approval_pb2 import Approval, Decision
from pentad.state.v1.approval_service_pb2 import (
    DecideApprovalRequest,
    GetApprovalRequest,
    ListApprovalsRequest,
)
from pentad.state.v1.approval_service_pb2_grpc import ApprovalServiceStub
from pentad.state.v1.effect_service_pb2 import BeginEffectRequest, BeginEffectResponse, EffectKey
from pentad.state.v1.effect_service_pb2_grpc import EffectServiceStub
from pentad.state.v1.entry_service_pb2 import GetEntryRequest, PutEntryRequest
from pentad.state.v1.entry_service_pb2_grpc import EntryServiceStub
from pentad.state.v1.event_pb2 import RunCreated, RunResumed
from pentad.state.v1.message_pb2 import Message
from pentad.state.v1.run_pb2 import RunSpec, RunStatus
from pentad.state.v1.run_service_pb2 import (
    AppendEventsRequest,
    AppendTextRequest,
    ApprovalChange,
    ClaimRunsRequest,
    CreateRunRequest,
    GetRunRequest,
    RenewLeasesRequest,
    RequestPauseRequest,
    ResumeRunRequest,
    SignalRunRequest,
    TailRunRequest,
    TextPiece,
    WaitRunRequest,
)
from pentad.state.v1.run_service_pb2_grpc import RunServiceStub
from pentad.state.v1.session_service_pb2 import AppendMessagesRequest, GetWindowRequest
from pentad.state.v1.session_service_pb2_grpc import SessionServiceStub
from pentad.state.v1.tool_pb2 import Effect
from pentad.state.v1.trace_service_pb2 import GetTraceRequest, RecordSpansRequest, Span
from pentad.state.v1.trace_service_pb2_grpc import TraceServiceStub
from pentad_chassis.channel import open_channel, reading
from pentad_chassis.errors import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
)
from pentad_chassis.telemetry import open_telemetry, silent_telemetry
from pentad_state.app import open_app
from pentad_state.config import Config


class Client:
    """Every stub of the service."""

    def __init__(self, channel: object) -> None:
        self.runs = RunServiceStub(channel)  # type: ignore[call-overload]
        self.sessions = SessionServiceStub(channel)  # type: ignore[call-overload]
        self.entries = EntryServiceStub(channel)  # type: ignore[call-overload]
        self.effects = EffectServiceStub(channel)  # type: ignore[call-overload]
        self.agents = AgentServiceStub(channel)  # type: ignore[call-overload]
        self.traces = TraceServiceStub(channel)  # type: ignore[call-overload]
        self.approvals = ApprovalServiceStub(channel)  # type: ignore[call-overload]


@asynccontextmanager
async def connected(config: Config) -> AsyncIterator[Client]:
    async with open_channel("state", config.address, config, silent_telemetry("test")) as channel:
        yield Client(channel)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(address=f"unix:{tmp_path}/s", data_dir=tmp_path / "data")


@pytest.fixture
async def client(config: Config) -> AsyncIterator[Client]:
    async with open_app(config, silent_telemetry("state")), connected(config) as opened:
        yield opened


async def test_a_run_lives_from_its_creation_to_its_end(client: Client) -> None:
    made = RunCreated(tenant=TENANT, spec=RunSpec(agent="echo", input="hello"))
    created = await client.runs.CreateRun(
        CreateRunRequest(request_id="r1", fingerprint=b"f", created=made, claim=by("one"))
    )
    lease, run_id = created.claimed.lease, created.run.run_id

    async def follow() -> list[str]:
        request = TailRunRequest(tenant=TENANT, run_id=run_id)
        async with reading(client.runs.TailRun(request, timeout=10)) as responses:
            return [str(e.WhichOneof("kind")) async for r in responses for e in r.events]

    following = asyncio.create_task(follow())
    waiting = asyncio.create_task(
        client.runs.WaitRun(WaitRunRequest(tenant=TENANT, run_id=run_id, timeout=seconds(9)))
    )
    append = AppendEventsRequest(
        lease=lease, expected_seq=1, append_id="1", events=[STARTED, TURN], status=RUNNING
    )
    first = await client.runs.AppendEvents(append)
    assert await client.runs.AppendEvents(append) == first
    piece = TextPiece(lease=lease, turn_seq=3, turn=1, text="hi")
    await client.runs.AppendText(AppendTextRequest(pieces=[piece]))
    await client.runs.AppendEvents(
        AppendEventsRequest(
            lease=lease, expected_seq=3, append_id="2", events=[TURN_DONE, DONE], status=COMPLETED
        )
    )

    assert (await waiting).run.status == COMPLETED
    assert await following == [
        "run_created", "run_started", "turn_started", "text_delta", "turn_completed",
        "run_completed",
    ]  # fmt: skip
    got = await client.runs.GetRun(GetRunRequest(tenant=TENANT, request_id="r1"))
    assert (got.run.run_id, got.fingerprint) == (run_id, b"f")
    with pytest.raises(Aborted) as caught:
        await client.runs.AppendEvents(AppendEventsRequest(
            lease=lease, expected_seq=5, append_id="3", events=[TURN], status=RUNNING
        ))  # fmt: skip
    assert caught.value.reason == "STALE_FENCE"


async def test_a_run_rests_and_goes_on(client: Client) -> None:
    made = RunCreated(tenant=TENANT, spec=SPEC)
    created = await client.runs.CreateRun(
        CreateRunRequest(request_id="r1", fingerprint=b"f", created=made, claim=by("one"))
    )
    lease, run_id = created.claimed.lease, created.run.run_id

    pause = RequestPauseRequest(tenant=TENANT, run_id=run_id, reason="lunch")
    assert (await client.runs.RequestPause(pause)).run.pause_requested
    renewed = await client.runs.RenewLeases(RenewLeasesRequest(claim=by("one"), leases=[lease]))
    assert [(p.run_id, p.reason) for p in renewed.pauses] == [(run_id, "lunch")]
    await client.runs.AppendEvents(
        AppendEventsRequest(
            lease=lease, expected_seq=1, append_id="1", events=[STARTED, RESTS], status=PAUSED
        )
    )
    resume = ResumeRunRequest(
        tenant=TENANT, run_id=run_id, resume_id="once", resumed=RunResumed(reason="go")
    )
    resumed = await client.runs.ResumeRun(resume)

    assert resumed.run.status.state == RunStatus.STATE_QUEUED
    claim = ClaimRunsRequest(claim=by("two"), limit=1, wait=seconds(5))
    (held,) = (await client.runs.ClaimRuns(claim)).runs
    assert held.resumed.reason == "go"
    with pytest.raises(FailedPrecondition) as caught:
        await client.runs.ResumeRun(
            ResumeRunRequest(tenant=TENANT, run_id=run_id, resume_id="twice")
        )
    assert (caught.value.reason, caught.value.metadata) == ("RUN_NOT_PAUSED", {"run_id": run_id})


async def test_a_run_waits_and_is_told_what_for(client: Client) -> None:
    made = RunCreated(tenant=TENANT, spec=SPEC)
    created = await client.runs.CreateRun(
        CreateRunRequest(request_id="r1", created=made, claim=by("one"))
    )
    lease, run_id = created.claimed.lease, created.run.run_id
    asks = Approval(key="k", kind=Approval.KIND_GATE, state=Approval.STATE_PENDING)
    await client.runs.AppendEvents(
        AppendEventsRequest(
            lease=lease,
            expected_seq=1,
            append_id="1",
            events=[STARTED, WAITS],
            status=WAITING,
            approvals=[ApprovalChange(approval=asks)],
        )
    )

    signal = SignalRunRequest(tenant=TENANT, run_id=run_id, signal_id="s", event=word(3))
    assert not (await client.runs.SignalRun(signal)).ended
    yes = Decision(verdict=Decision.VERDICT_APPROVED, decided_by="ann")
    name = f"{run_id}/k"
    decide = DecideApprovalRequest(tenant=TENANT, approval_id=name, decision_id="d", decision=yes)
    decided = (await client.approvals.DecideApproval(decide)).approval

    claim = ClaimRunsRequest(claim=by("two"), limit=1, wait=seconds(5))
    (held,) = (await client.runs.ClaimRuns(claim)).runs
    assert numbers(held.signals)[:1] == [3]
    assert held.signals.events[1].approval_decided.decision == decided.decision
    renewal = RenewLeasesRequest(claim=by("two"), leases=[held.lease])
    assert (await client.runs.RenewLeases(renewal)).signals == [held.signals]
    heard = AppendEventsRequest(
        lease=held.lease,
        expected_seq=held.last_seq,
        append_id="2",
        events=held.signals.events,
        status=RUNNING,
        heard_signals=2,
    )
    await client.runs.AppendEvents(heard)
    assert not (await client.runs.RenewLeases(renewal)).signals
    get = GetApprovalRequest(tenant=TENANT, approval_id=name)
    assert (await client.approvals.GetApproval(get)).approval == decided
    listed = await client.approvals.ListApprovals(ListApprovalsRequest(tenant=TENANT))
    assert list(listed.approvals) == [decided]


async def test_a_full_schedule_says_when_to_come_back(config: Config) -> None:
    small = config.model_copy(update={"max_queued": 64})
    async with open_app(small, silent_telemetry("state")), connected(small) as client:
        made = RunCreated(tenant=TENANT, spec=SPEC)
        requests = [
            CreateRunRequest(request_id=f"r{i}", fingerprint=b"f", created=made) for i in range(65)
        ]
        with pytest.raises(ResourceExhausted) as caught:
            await asyncio.gather(*map(client.runs.CreateRun, requests))

    assert caught.value.reason == "SCHEDULE_FULL"
    assert caught.value.retry_after_s == 5.0


async def test_errors_keep_their_reason_and_their_field(client: Client) -> None:
    with pytest.raises(NotFound) as missing:
        await client.runs.GetRun(GetRunRequest(tenant=TENANT, run_id="nope"))
    assert (missing.value.reason, missing.value.metadata) == ("RUN_NOT_FOUND", {"run_id": "nope"})

    with pytest.raises(InvalidArgument) as large:
        await client.entries.PutEntry(PutEntryRequest(scope="s", key="k", value=b"x" * 300_000))
    assert large.value.reason == "PAYLOAD_TOO_LARGE"
    assert large.value.metadata["field"] == "value"

    request = TailRunRequest(tenant=TENANT, run_id="nope", after="nonsense")
    async with reading(client.runs.TailRun(request)) as responses:
        with pytest.raises(InvalidArgument) as cursor:
            await anext(responses)
    assert cursor.value.reason == "INVALID_CURSOR"


async def test_every_noun_answers(client: Client) -> None:
    await client.entries.PutEntry(PutEntryRequest(scope="s", key="k", value=b"v"))
    entry = await client.entries.GetEntry(GetEntryRequest(scope="s", key="k"))
    assert entry.entry.value == b"v"
    await client.sessions.AppendMessages(
        AppendMessagesRequest(
            tenant=TENANT, session_id="s", append_id="a", messages=[Message(text="hi")]
        )
    )
    window = await client.sessions.GetWindow(GetWindowRequest(tenant=TENANT, session_id="s"))
    assert [m.text for m in window.messages] == ["hi"]
    call = EffectKey(run_id="r", call_id="1")
    begun = await client.effects.BeginEffect(
        BeginEffectRequest(key=call, effect=Effect.EFFECT_ONCE, runner="a", hold=seconds(1))
    )
    assert begun.verdict == BeginEffectResponse.VERDICT_RUN
    await client.agents.CreateAgent(CreateAgentRequest(tenant=TENANT, agent=Agent(name="a")))
    agents = await client.agents.ListAgents(ListAgentsRequest(tenant=TENANT))
    assert [agent.name for agent in agents.agents] == ["a"]
    span = Span(trace_id="a" * 32, span_id="b" * 16)
    await client.traces.RecordSpans(RecordSpansRequest(spans=[span]))
    trace = await client.traces.GetTrace(GetTraceRequest(trace_id="a" * 32))
    assert list(trace.spans) == [span]


async def test_a_stop_does_not_wait_for_those_who_wait(config: Config) -> None:
    async with AsyncExitStack() as app:
        await app.enter_async_context(open_app(config, silent_telemetry("state")))
        async with connected(config) as client:
            request = ClaimRunsRequest(claim=by("one"), limit=1, wait=seconds(20))
            poll = asyncio.ensure_future(client.runs.ClaimRuns(request, timeout=25))
            await asyncio.sleep(0.2)

            begun = time.monotonic()
            await app.aclose()
            assert time.monotonic() - begun < 3
            with pytest.raises(Unavailable):
                await poll


async def test_a_restart_keeps_everything(config: Config) -> None:
    for version in (1, 2):
        async with open_app(config, silent_telemetry("state")), connected(config) as client:
            put = await client.entries.PutEntry(PutEntryRequest(scope="s", key="k"))
            assert put.entry.version == version


async def test_nothing_is_logged_but_the_service_s_own_life(config: Config) -> None:
    stream = io.StringIO()
    async with (
        open_app(config, open_telemetry("state", "info", stream)),
        connected(config) as client,
    ):
        await client.entries.PutEntry(PutEntryRequest(scope="secret", key="k", value=b"secret"))

    assert "secret" not in stream.getvalue()
    assert "warning" not in stream.getvalue()
