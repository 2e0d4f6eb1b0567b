"""The services behind the gateway, as far as it can see them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from pentad.orchestrator.v1 import orchestrator_service_pb2 as orchestrator_pb
from pentad.orchestrator.v1 import orchestrator_service_pb2_grpc as orchestrator_grpc
from pentad.state.v1 import agent_service_pb2 as agent_pb
from pentad.state.v1 import agent_service_pb2_grpc as agent_grpc
from pentad.state.v1 import approval_service_pb2 as approval_pb
from pentad.state.v1 import approval_service_pb2_grpc as approval_grpc
from pentad.state.v1 import entry_service_pb2 as entry_pb
from pentad.state.v1 import entry_service_pb2_grpc as entry_grpc
from pentad.state.v1 import run_service_pb2 as run_pb
from pentad.state.v1 import run_service_pb2_grpc as run_grpc
from pentad.state.v1 import session_service_pb2 as session_pb
from pentad.state.v1 import session_service_pb2_grpc as session_grpc
from pentad.state.v1 import trace_service_pb2 as trace_pb
from pentad.state.v1 import trace_service_pb2_grpc as trace_grpc
from pentad.state.v1.agent_pb2 import Agent
from pentad.state.v1.approval_pb2 import Approval, Decision
from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_pb2 import Run, RunStatus
from pentad.state.v1.session_pb2 import Session, SessionMessage
from pentad.state.v1.tool_pb2 import Tool
from pentad.tools.v1 import tools_service_pb2 as tools_pb
from pentad.tools.v1 import tools_service_pb2_grpc as tools_grpc
from pentad_chassis.config import Settings
from pentad_chassis.errors import Aborted, FailedPrecondition, NotFound, ServiceError, Unavailable
from pentad_chassis.server import Context, serving
from pentad_chassis.telemetry import silent_telemetry

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


class RunNotFound(NotFound):
    reason = "RUN_NOT_FOUND"


class EntryNotFound(NotFound):
    reason = "ENTRY_NOT_FOUND"


class VersionMismatch(Aborted):
    reason = "VERSION_MISMATCH"


class ApprovalDecided(FailedPrecondition):
    reason = "APPROVAL_DECIDED"


class Entries(entry_grpc.EntryServiceServicer):
    """Entries with compare-and-set."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], bytes] = {}
        self.look_ups = 0

    async def GetEntry(
        self, request: entry_pb.GetEntryRequest, context: Context
    ) -> entry_pb.GetEntryResponse:
        self.look_ups += 1
        value = self.values.get((request.scope, request.key))
        if value is None:
            raise EntryNotFound("no such entry")
        return entry_pb.GetEntryResponse(entry=entry_pb.Entry(key=request.key, value=value))

    async def PutEntry(
        self, request: entry_pb.PutEntryRequest, context: Context
    ) -> entry_pb.PutEntryResponse:
        name = (request.scope, request.key)
        if request.HasField("expected_version") and name in self.values:
            raise VersionMismatch("another writer came first")
        self.values[name] = request.value
        return entry_pb.PutEntryResponse(entry=entry_pb.Entry(key=request.key, version=1))


class Runs(run_grpc.RunServiceServicer):
    """The runs of one tenant, with one journal for all of them."""

    def __init__(self, asked: list[Message]) -> None:
        self.asked = asked
        self.owner = "default"
        self.events: list[Event] = []
        self.more = asyncio.Condition()
        self.ended = False
        self.breaks: list[int] = []
        """After how many events each of the next streams breaks."""
        self.refusal: ServiceError | None = None
        """What a resume meets."""
        self.sent = 0
        """Events that streams have let go of."""
        self.status = RunStatus()

    async def append(self, *kinds: str, size: int = 0) -> None:
        """Add events, each with as much as `size` bytes in it."""
        async with self.more:
            for kind in kinds:
                seq = len(self.events) + 1
                event = Event(run_id="01run", seq=seq, cursor=f"c{seq}")
                getattr(event, kind).SetInParent()
                if size:
                    event.run_started.owner = "x" * size
                self.events.append(event)
                self.ended = self.ended or kind == "run_completed"
            self.more.notify_all()

    async def GetRun(
        self, request: run_pb.GetRunRequest, context: Context
    ) -> run_pb.GetRunResponse:
        return run_pb.GetRunResponse(run=self._run(request))

    async def WaitRun(
        self, request: run_pb.WaitRunRequest, context: Context
    ) -> run_pb.WaitRunResponse:
        return run_pb.WaitRunResponse(run=self._run(request))

    async def ListRuns(
        self, request: run_pb.ListRunsRequest, context: Context
    ) -> run_pb.ListRunsResponse:
        self.asked.append(request)
        runs = [Run(run_id="01run")] if request.tenant == self.owner else []
        return run_pb.ListRunsResponse(runs=runs, next_page_token="more")

    async def TailRun(
        self, request: run_pb.TailRunRequest, context: Context
    ) -> AsyncIterator[run_pb.TailRunResponse]:
        self._run(request)
        left = self.breaks.pop(0) if self.breaks else 10**9
        place = int(request.after[1:]) if request.after else 0
        while left > 0:
            await self._reach(place + 1)
            fresh = self.events[place : place + min(left, 2)]
            if not fresh:
                return
            yield run_pb.TailRunResponse(events=fresh)
            place += len(fresh)
            self.sent += len(fresh)
            left -= len(fresh)
        raise Unavailable("the store is away")

    async def RequestPause(
        self, request: run_pb.RequestPauseRequest, context: Context
    ) -> run_pb.RequestPauseResponse:
        return run_pb.RequestPauseResponse(run=self._run(request))

    async def ResumeRun(
        self, request: run_pb.ResumeRunRequest, context: Context
    ) -> run_pb.ResumeRunResponse:
        run = self._run(request)
        if self.refusal is not None:
            raise self.refusal
        return run_pb.ResumeRunResponse(run=run)

    async def _reach(self, seq: int) -> None:
        async with self.more:
            await self.more.wait_for(lambda: self.ended or seq <= len(self.events))

    def _run(self, request: Any) -> Run:
        self.asked.append(request)
        if (request.tenant, request.run_id) != (self.owner, "01run"):
            raise RunNotFound("no such run", run_id=request.run_id)
        return Run(
            run_id=request.run_id, tenant=request.tenant, trace_id=TRACE_ID, status=self.status
        )


class Agents(agent_grpc.AgentServiceServicer):
    """Records what it is asked, and answers in kind."""

    def __init__(self, asked: list[Message]) -> None:
        self.asked = asked

    async def CreateAgent(
        self, request: agent_pb.CreateAgentRequest, context: Context
    ) -> agent_pb.CreateAgentResponse:
        self.asked.append(request)
        return agent_pb.CreateAgentResponse(agent=request.agent)

    async def UpdateAgent(
        self, request: agent_pb.UpdateAgentRequest, context: Context
    ) -> agent_pb.UpdateAgentResponse:
        self.asked.append(request)
        return agent_pb.UpdateAgentResponse(agent=request.agent)

    async def GetAgent(
        self, request: agent_pb.GetAgentRequest, context: Context
    ) -> agent_pb.GetAgentResponse:
        self.asked.append(request)
        return agent_pb.GetAgentResponse(agent=Agent(name=request.name, revision=request.revision))

    async def ListAgents(
        self, request: agent_pb.ListAgentsRequest, context: Context
    ) -> agent_pb.ListAgentsResponse:
        self.asked.append(request)
        return agent_pb.ListAgentsResponse(agents=[Agent(name="clerk")], next_page_token="more")

    async def DeleteAgent(
        self, request: agent_pb.DeleteAgentRequest, context: Context
    ) -> agent_pb.DeleteAgentResponse:
        self.asked.append(request)
        return agent_pb.DeleteAgentResponse()


class Sessions(session_grpc.SessionServiceServicer):
    """Records what it is asked, and answers in kind."""

    def __init__(self, asked: list[Message]) -> None:
        self.asked = asked

    async def GetSession(
        self, request: session_pb.GetSessionRequest, context: Context
    ) -> session_pb.GetSessionResponse:
        self.asked.append(request)
        return session_pb.GetSessionResponse(session=Session(session_id=request.session_id))

    async def ListSessions(
        self, request: session_pb.ListSessionsRequest, context: Context
    ) -> session_pb.ListSessionsResponse:
        self.asked.append(request)
        return session_pb.ListSessionsResponse(
            sessions=[Session(session_id="s")], next_page_token="more"
        )

    async def ListMessages(
        self, request: session_pb.ListMessagesRequest, context: Context
    ) -> session_pb.ListMessagesResponse:
        self.asked.append(request)
        return session_pb.ListMessagesResponse(
            messages=[SessionMessage(seq=1)], next_page_token="more"
        )

    async def DeleteSession(
        self, request: session_pb.DeleteSessionRequest, context: Context
    ) -> session_pb.DeleteSessionResponse:
        self.asked.append(request)
        return session_pb.DeleteSessionResponse()


class Traces(trace_grpc.TraceServiceServicer):
    """Has a span of every trace."""

    async def RecordSpans(
        self, request: trace_pb.RecordSpansRequest, context: Context
    ) -> trace_pb.RecordSpansResponse:
        return trace_pb.RecordSpansResponse()

    async def GetTrace(
        self, request: trace_pb.GetTraceRequest, context: Context
    ) -> trace_pb.GetTraceResponse:
        return trace_pb.GetTraceResponse(spans=[trace_pb.Span(trace_id=request.trace_id)])


class Orchestrator(orchestrator_grpc.OrchestratorServiceServicer):
    """Accepts every run, under one id."""

    def __init__(self, asked: list[Message]) -> None:
        self.asked = asked

    async def CreateRun(
        self, request: orchestrator_pb.CreateRunRequest, context: Context
    ) -> orchestrator_pb.CreateRunResponse:
        self.asked.append(request)
        return orchestrator_pb.CreateRunResponse(run=Run(run_id="01run", tenant=request.tenant))

    async def CancelRun(
        self, request: orchestrator_pb.CancelRunRequest, context: Context
    ) -> orchestrator_pb.CancelRunResponse:
        self.asked.append(request)
        return orchestrator_pb.CancelRunResponse(run=Run(run_id="01run", cancel_requested=True))


class Approvals(approval_grpc.ApprovalServiceServicer):
    """One approval, which any decision decides."""

    def __init__(self, asked: list[Message]) -> None:
        self.asked = asked
        self.approval = Approval(
            approval_id="01run/run.1.0",
            run_id="01run",
            kind=Approval.KIND_TOOL_CALL,
            state=Approval.STATE_PENDING,
        )
        self.refusal: ServiceError | None = None
        """What a decision meets."""

    async def GetApproval(
        self, request: approval_pb.GetApprovalRequest, context: Context
    ) -> approval_pb.GetApprovalResponse:
        self.asked.append(request)
        return approval_pb.GetApprovalResponse(approval=self.approval)

    async def ListApprovals(
        self, request: approval_pb.ListApprovalsRequest, context: Context
    ) -> approval_pb.ListApprovalsResponse:
        self.asked.append(request)
        return approval_pb.ListApprovalsResponse(approvals=[self.approval], next_page_token="more")

    async def DecideApproval(
        self, request: approval_pb.DecideApprovalRequest, context: Context
    ) -> approval_pb.DecideApprovalResponse:
        self.asked.append(request)
        if self.refusal is not None:
            raise self.refusal
        approved = request.decision.verdict == Decision.VERDICT_APPROVED
        self.approval.state = Approval.STATE_APPROVED if approved else Approval.STATE_REFUSED
        self.approval.decision.CopyFrom(request.decision)
        return approval_pb.DecideApprovalResponse(approval=self.approval)


class Tools(tools_grpc.ToolsServiceServicer):
    """A catalogue of two, not in order; `down` as if it were not there."""

    def __init__(self) -> None:
        self.down = False

    async def ListTools(
        self, request: tools_pb.ListToolsRequest, context: Context
    ) -> tools_pb.ListToolsResponse:
        if self.down:
            raise Unavailable("the catalogue is away")
        return tools_pb.ListToolsResponse(tools=[Tool(name="notebook"), Tool(name="calculator")])

    async def GetTool(
        self, request: tools_pb.GetToolRequest, context: Context
    ) -> tools_pb.GetToolResponse:
        return tools_pb.GetToolResponse(tool=Tool(name=request.name))


class Peers:
    """State, orchestrator and tools, on sockets in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[Message] = []
        """What the fakes were asked, in order; keys and tools left out."""
        self.entries = Entries()
        self.runs = Runs(self.asked)
        self.approvals = Approvals(self.asked)
        self.tools = Tools()

    def address(self, name: str) -> str:
        return f"unix:{self.folder}/{name}"

    def addresses(self) -> dict[str, Any]:
        names = ("state", "orchestrator", "tools")
        return {f"{name}_address": self.address(name) for name in names}

    @asynccontextmanager
    async def open_state(self) -> AsyncIterator[None]:
        """Serve state's services; what they hold outlives the block."""
        services = [
            partial(entry_grpc.add_EntryServiceServicer_to_server, self.entries),
            partial(run_grpc.add_RunServiceServicer_to_server, self.runs),
            partial(approval_grpc.add_ApprovalServiceServicer_to_server, self.approvals),
            partial(agent_grpc.add_AgentServiceServicer_to_server, Agents(self.asked)),
            partial(session_grpc.add_SessionServiceServicer_to_server, Sessions(self.asked)),
            partial(trace_grpc.add_TraceServiceServicer_to_server, Traces()),
        ]
        async with self._serving("state", services):
            yield

    @asynccontextmanager
    async def open_others(self) -> AsyncIterator[None]:
        """Serve orchestrator and tools."""
        orchestrator = Orchestrator(self.asked)
        add = partial(orchestrator_grpc.add_OrchestratorServiceServicer_to_server, orchestrator)
        tools = partial(tools_grpc.add_ToolsServiceServicer_to_server, self.tools)
        async with self._serving("orchestrator", [add]), self._serving("tools", [tools]):
            yield

    @asynccontextmanager
    async def _serving(self, name: str, services: list[Any]) -> AsyncIterator[None]:
        settings = Settings(address=self.address(name), drain_grace_s=0.0)
        async with serving(settings, silent_telemetry(name), services):
            yield
