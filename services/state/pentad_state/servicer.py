"""The services on the wire: requests to arguments, results to responses, and nothing else."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from google.protobuf.duration_pb2 import Duration

from pentad.state.v1 import agent_service_pb2 as agents_pb
from pentad.state.v1 import agent_service_pb2_grpc as agents_grpc
from pentad.state.v1 import effect_service_pb2 as effects_pb
from pentad.state.v1 import effect_service_pb2_grpc as effects_grpc
from pentad.state.v1 import entry_service_pb2 as entries_pb
from pentad.state.v1 import entry_service_pb2_grpc as entries_grpc
from pentad.state.v1 import registry_service_pb2 as registry_pb
from pentad.state.v1 import registry_service_pb2_grpc as registry_grpc
from pentad.state.v1 import run_service_pb2 as runs_pb
from pentad.state.v1 import run_service_pb2_grpc as runs_grpc
from pentad.state.v1 import session_service_pb2 as sessions_pb
from pentad.state.v1 import session_service_pb2_grpc as sessions_grpc
from pentad.state.v1 import trace_service_pb2 as traces_pb
from pentad.state.v1 import trace_service_pb2_grpc as traces_grpc
from pentad.state.v1.session_pb2 import SessionMessage
from pentad_chassis.server import Context
from pentad_state.core import StateCore
from pentad_state.partitions import run_id_for


class RunServicer(runs_grpc.RunServiceServicer):
    """Runs, their leases and their tails."""

    def __init__(self, core: StateCore) -> None:
        self._core = core

    async def CreateRun(
        self, request: runs_pb.CreateRunRequest, context: Context
    ) -> runs_pb.CreateRunResponse:
        claim = request.claim if request.HasField("claim") else None
        run, claimed, created = await self._core.runs.create(
            request.request_id, request.fingerprint, request.created, claim
        )
        return runs_pb.CreateRunResponse(run=run, created=created, claimed=claimed)

    async def GetRun(
        self, request: runs_pb.GetRunRequest, context: Context
    ) -> runs_pb.GetRunResponse:
        run_id = request.run_id or run_id_for(request.tenant, request.request_id)
        run, fingerprint = await self._core.runs.get(request.tenant, run_id)
        return runs_pb.GetRunResponse(run=run, fingerprint=fingerprint)

    async def ListRuns(
        self, request: runs_pb.ListRunsRequest, context: Context
    ) -> runs_pb.ListRunsResponse:
        runs, token = await self._core.runs.list_runs(
            request.tenant,
            request.state,
            request.session_id,
            request.page_size,
            request.page_token,
        )
        return runs_pb.ListRunsResponse(runs=runs, next_page_token=token)

    async def WaitRun(
        self, request: runs_pb.WaitRunRequest, context: Context
    ) -> runs_pb.WaitRunResponse:
        run = await self._core.tails.wait(request.tenant, request.run_id, _seconds(request.timeout))
        return runs_pb.WaitRunResponse(run=run)

    async def TailRun(
        self, request: runs_pb.TailRunRequest, context: Context
    ) -> AsyncGenerator[runs_pb.TailRunResponse, None]:
        tail = self._core.tails.tail(request.tenant, request.run_id, request.after)
        async with aclosing(tail) as batches:
            async for events in batches:
                yield runs_pb.TailRunResponse(events=events)

    async def ListEvents(
        self, request: runs_pb.ListEventsRequest, context: Context
    ) -> runs_pb.ListEventsResponse:
        events = await self._core.runs.list_events(request.run_id, request.after_seq)
        return runs_pb.ListEventsResponse(events=events)

    async def ClaimRuns(
        self, request: runs_pb.ClaimRunsRequest, context: Context
    ) -> runs_pb.ClaimRunsResponse:
        runs, asked = await self._core.schedule.poll(
            request.claim, request.limit, _seconds(request.wait)
        )
        return runs_pb.ClaimRunsResponse(runs=runs, cancels=asked.cancels, pauses=asked.pauses)

    async def RenewLeases(
        self, request: runs_pb.RenewLeasesRequest, context: Context
    ) -> runs_pb.RenewLeasesResponse:
        lost, asked = await self._core.leases.renew(request.claim, request.leases)
        return runs_pb.RenewLeasesResponse(
            lost_run_ids=lost, cancels=asked.cancels, pauses=asked.pauses
        )

    async def ReleaseRuns(
        self, request: runs_pb.ReleaseRunsRequest, context: Context
    ) -> runs_pb.ReleaseRunsResponse:
        await self._core.leases.release(request.leases)
        return runs_pb.ReleaseRunsResponse()

    async def AppendEvents(
        self, request: runs_pb.AppendEventsRequest, context: Context
    ) -> runs_pb.AppendEventsResponse:
        events = await self._core.runs.append(
            request.lease,
            request.expected_seq,
            request.append_id,
            request.events,
            request.status,
        )
        return runs_pb.AppendEventsResponse(events=events)

    async def AppendText(
        self, request: runs_pb.AppendTextRequest, context: Context
    ) -> runs_pb.AppendTextResponse:
        await self._core.runs.append_text(request.pieces)
        return runs_pb.AppendTextResponse()

    async def RequestPause(
        self, request: runs_pb.RequestPauseRequest, context: Context
    ) -> runs_pb.RequestPauseResponse:
        run = await self._core.runs.request_pause(request.tenant, request.run_id, request.reason)
        return runs_pb.RequestPauseResponse(run=run)

    async def ResumeRun(
        self, request: runs_pb.ResumeRunRequest, context: Context
    ) -> runs_pb.ResumeRunResponse:
        run = await self._core.runs.resume(
            request.tenant, request.run_id, request.resume_id, request.resumed
        )
        return runs_pb.ResumeRunResponse(run=run)

    async def RequestCancel(
        self, request: runs_pb.RequestCancelRequest, context: Context
    ) -> runs_pb.RequestCancelResponse:
        run = await self._core.runs.request_cancel(request.tenant, request.run_id, request.reason)
        return runs_pb.RequestCancelResponse(run=run)


class SessionServicer(sessions_grpc.SessionServiceServicer):
    """Conversations."""

    def __init__(self, core: StateCore) -> None:
        self._sessions = core.sessions

    async def AppendMessages(
        self, request: sessions_pb.AppendMessagesRequest, context: Context
    ) -> sessions_pb.AppendMessagesResponse:
        messages = [SessionMessage(run_id=request.run_id, message=m) for m in request.messages]
        ttl = request.ttl if request.HasField("ttl") else None
        session = await self._sessions.append(
            request.tenant, request.session_id, request.append_id, messages, ttl
        )
        return sessions_pb.AppendMessagesResponse(session=session)

    async def GetSession(
        self, request: sessions_pb.GetSessionRequest, context: Context
    ) -> sessions_pb.GetSessionResponse:
        session = await self._sessions.get(request.tenant, request.session_id)
        return sessions_pb.GetSessionResponse(session=session)

    async def ListSessions(
        self, request: sessions_pb.ListSessionsRequest, context: Context
    ) -> sessions_pb.ListSessionsResponse:
        sessions, token = await self._sessions.list_sessions(
            request.tenant, request.page_size, request.page_token
        )
        return sessions_pb.ListSessionsResponse(sessions=sessions, next_page_token=token)

    async def ListMessages(
        self, request: sessions_pb.ListMessagesRequest, context: Context
    ) -> sessions_pb.ListMessagesResponse:
        messages, token = await self._sessions.list_messages(
            request.tenant, request.session_id, request.page_size, request.page_token
        )
        return sessions_pb.ListMessagesResponse(messages=messages, next_page_token=token)

    async def GetWindow(
        self, request: sessions_pb.GetWindowRequest, context: Context
    ) -> sessions_pb.GetWindowResponse:
        messages, last_seq = await self._sessions.window(
            request.tenant,
            request.session_id,
            request.last_seq,
            request.max_messages,
            request.max_tokens,
        )
        return sessions_pb.GetWindowResponse(messages=messages, last_seq=last_seq)

    async def DeleteSession(
        self, request: sessions_pb.DeleteSessionRequest, context: Context
    ) -> sessions_pb.DeleteSessionResponse:
        await self._sessions.delete(request.tenant, request.session_id)
        return sessions_pb.DeleteSessionResponse()


class EntryServicer(entries_grpc.EntryServiceServicer):
    """Versioned values."""

    def __init__(self, core: StateCore) -> None:
        self._entries = core.entries

    async def GetEntry(
        self, request: entries_pb.GetEntryRequest, context: Context
    ) -> entries_pb.GetEntryResponse:
        entry = await self._entries.get(request.scope, request.key)
        return entries_pb.GetEntryResponse(entry=entry)

    async def PutEntry(
        self, request: entries_pb.PutEntryRequest, context: Context
    ) -> entries_pb.PutEntryResponse:
        expected = request.expected_version if request.HasField("expected_version") else None
        ttl = request.ttl if request.HasField("ttl") else None
        entry = await self._entries.put(request.scope, request.key, request.value, expected, ttl)
        return entries_pb.PutEntryResponse(entry=entry)

    async def DeleteEntry(
        self, request: entries_pb.DeleteEntryRequest, context: Context
    ) -> entries_pb.DeleteEntryResponse:
        expected = request.expected_version if request.HasField("expected_version") else None
        await self._entries.delete(request.scope, request.key, expected)
        return entries_pb.DeleteEntryResponse()

    async def ListEntries(
        self, request: entries_pb.ListEntriesRequest, context: Context
    ) -> entries_pb.ListEntriesResponse:
        entries, token = await self._entries.list_entries(
            request.scope, request.key_prefix, request.page_size, request.page_token
        )
        return entries_pb.ListEntriesResponse(entries=entries, next_page_token=token)


class EffectServicer(effects_grpc.EffectServiceServicer):
    """The ledger of tool calls."""

    def __init__(self, core: StateCore) -> None:
        self._effects = core.effects

    async def BeginEffect(
        self, request: effects_pb.BeginEffectRequest, context: Context
    ) -> effects_pb.BeginEffectResponse:
        return await self._effects.begin(
            request.key, request.fingerprint, request.effect, request.runner, request.hold
        )

    async def ExtendEffect(
        self, request: effects_pb.ExtendEffectRequest, context: Context
    ) -> effects_pb.ExtendEffectResponse:
        await self._effects.extend(request.key, request.fence, request.hold)
        return effects_pb.ExtendEffectResponse()

    async def CompleteEffect(
        self, request: effects_pb.CompleteEffectRequest, context: Context
    ) -> effects_pb.CompleteEffectResponse:
        outcome = await self._effects.complete(request.key, request.fence, request.outcome)
        return effects_pb.CompleteEffectResponse(outcome=outcome)

    async def ResolveEffect(
        self, request: effects_pb.ResolveEffectRequest, context: Context
    ) -> effects_pb.ResolveEffectResponse:
        outcome = request.outcome if request.HasField("outcome") else None
        await self._effects.resolve(request.key, request.fence, outcome, request.hold)
        return effects_pb.ResolveEffectResponse()


class AgentServicer(agents_grpc.AgentServiceServicer):
    """Agents and their revisions."""

    def __init__(self, core: StateCore) -> None:
        self._agents = core.agents

    async def CreateAgent(
        self, request: agents_pb.CreateAgentRequest, context: Context
    ) -> agents_pb.CreateAgentResponse:
        agent = await self._agents.create(request.tenant, request.agent, request.request_id)
        return agents_pb.CreateAgentResponse(agent=agent)

    async def GetAgent(
        self, request: agents_pb.GetAgentRequest, context: Context
    ) -> agents_pb.GetAgentResponse:
        agent = await self._agents.get(request.tenant, request.name, request.revision)
        return agents_pb.GetAgentResponse(agent=agent)

    async def ListAgents(
        self, request: agents_pb.ListAgentsRequest, context: Context
    ) -> agents_pb.ListAgentsResponse:
        agents, token = await self._agents.list_agents(
            request.tenant, request.capability, request.page_size, request.page_token
        )
        return agents_pb.ListAgentsResponse(agents=agents, next_page_token=token)

    async def UpdateAgent(
        self, request: agents_pb.UpdateAgentRequest, context: Context
    ) -> agents_pb.UpdateAgentResponse:
        agent = await self._agents.update(request.tenant, request.agent, request.expected_revision)
        return agents_pb.UpdateAgentResponse(agent=agent)

    async def DeleteAgent(
        self, request: agents_pb.DeleteAgentRequest, context: Context
    ) -> agents_pb.DeleteAgentResponse:
        await self._agents.delete(request.tenant, request.name)
        return agents_pb.DeleteAgentResponse()


class RegistryServicer(registry_grpc.RegistryServiceServicer):
    """Replicas that are there."""

    def __init__(self, core: StateCore) -> None:
        self._registry = core.registry

    async def Register(
        self, request: registry_pb.RegisterRequest, context: Context
    ) -> registry_pb.RegisterResponse:
        await self._registry.register(request.service, request.instance, request.ttl)
        return registry_pb.RegisterResponse()

    async def Deregister(
        self, request: registry_pb.DeregisterRequest, context: Context
    ) -> registry_pb.DeregisterResponse:
        await self._registry.deregister(request.service, request.instance_id)
        return registry_pb.DeregisterResponse()

    async def ListInstances(
        self, request: registry_pb.ListInstancesRequest, context: Context
    ) -> registry_pb.ListInstancesResponse:
        instances = await self._registry.list_instances(request.service)
        return registry_pb.ListInstancesResponse(instances=instances)


class TraceServicer(traces_grpc.TraceServiceServicer):
    """Spans of recent traces."""

    def __init__(self, core: StateCore) -> None:
        self._traces = core.traces

    async def RecordSpans(
        self, request: traces_pb.RecordSpansRequest, context: Context
    ) -> traces_pb.RecordSpansResponse:
        await self._traces.record(request.spans)
        return traces_pb.RecordSpansResponse()

    async def GetTrace(
        self, request: traces_pb.GetTraceRequest, context: Context
    ) -> traces_pb.GetTraceResponse:
        spans = await self._traces.get(request.trace_id)
        return traces_pb.GetTraceResponse(spans=spans)


def _seconds(duration: Duration) -> float:
    return duration.ToMilliseconds() / 1000
