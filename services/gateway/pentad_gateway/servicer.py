"""The public services: translation only."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from pentad.gateway.v1 import (
    agent_service_pb2,
    agent_service_pb2_grpc,
    run_service_pb2,
    run_service_pb2_grpc,
    session_service_pb2,
    session_service_pb2_grpc,
    system_service_pb2,
    system_service_pb2_grpc,
    tool_service_pb2,
    tool_service_pb2_grpc,
    trace_service_pb2,
    trace_service_pb2_grpc,
)
from pentad_chassis.server import Context, caller
from pentad_gateway.core import AgentCore, SessionCore, ToolCore, TraceCore
from pentad_gateway.runs import RunCore
from pentad_gateway.system import SystemCore


class RunServicer(run_service_pb2_grpc.RunServiceServicer):
    """RunService over its core."""

    def __init__(self, core: RunCore) -> None:
        self._core = core

    async def CreateRun(
        self, request: run_service_pb2.CreateRunRequest, context: Context
    ) -> run_service_pb2.CreateRunResponse:
        run = await self._core.create_run(caller().tenant, request)
        return run_service_pb2.CreateRunResponse(run=run)

    async def ExecuteRun(
        self, request: run_service_pb2.ExecuteRunRequest, context: Context
    ) -> AsyncIterator[run_service_pb2.ExecuteRunResponse]:
        async with aclosing(self._core.execute_run(caller().tenant, request)) as batches:
            async for events in batches:
                yield run_service_pb2.ExecuteRunResponse(events=events)

    async def TailRun(
        self, request: run_service_pb2.TailRunRequest, context: Context
    ) -> AsyncIterator[run_service_pb2.TailRunResponse]:
        async with aclosing(self._core.tail_run(caller().tenant, request)) as batches:
            async for events in batches:
                yield run_service_pb2.TailRunResponse(events=events)

    async def WaitRun(
        self, request: run_service_pb2.WaitRunRequest, context: Context
    ) -> run_service_pb2.WaitRunResponse:
        run = await self._core.wait_run(caller().tenant, request)
        return run_service_pb2.WaitRunResponse(run=run)

    async def GetRun(
        self, request: run_service_pb2.GetRunRequest, context: Context
    ) -> run_service_pb2.GetRunResponse:
        run = await self._core.get_run(caller().tenant, request)
        return run_service_pb2.GetRunResponse(run=run)

    async def ListRuns(
        self, request: run_service_pb2.ListRunsRequest, context: Context
    ) -> run_service_pb2.ListRunsResponse:
        page = await self._core.list_runs(caller().tenant, request)
        return run_service_pb2.ListRunsResponse(
            runs=page.runs, next_page_token=page.next_page_token
        )

    async def PauseRun(
        self, request: run_service_pb2.PauseRunRequest, context: Context
    ) -> run_service_pb2.PauseRunResponse:
        run = await self._core.pause_run(caller().tenant, request)
        return run_service_pb2.PauseRunResponse(run=run)

    async def ResumeRun(
        self, request: run_service_pb2.ResumeRunRequest, context: Context
    ) -> run_service_pb2.ResumeRunResponse:
        run = await self._core.resume_run(caller().tenant, request)
        return run_service_pb2.ResumeRunResponse(run=run)

    async def CancelRun(
        self, request: run_service_pb2.CancelRunRequest, context: Context
    ) -> run_service_pb2.CancelRunResponse:
        run = await self._core.cancel_run(caller().tenant, request)
        return run_service_pb2.CancelRunResponse(run=run)


class AgentServicer(agent_service_pb2_grpc.AgentServiceServicer):
    """AgentService over its core."""

    def __init__(self, core: AgentCore) -> None:
        self._core = core

    async def CreateAgent(
        self, request: agent_service_pb2.CreateAgentRequest, context: Context
    ) -> agent_service_pb2.CreateAgentResponse:
        agent = await self._core.create_agent(caller().tenant, request)
        return agent_service_pb2.CreateAgentResponse(agent=agent)

    async def GetAgent(
        self, request: agent_service_pb2.GetAgentRequest, context: Context
    ) -> agent_service_pb2.GetAgentResponse:
        agent = await self._core.get_agent(caller().tenant, request)
        return agent_service_pb2.GetAgentResponse(agent=agent)

    async def ListAgents(
        self, request: agent_service_pb2.ListAgentsRequest, context: Context
    ) -> agent_service_pb2.ListAgentsResponse:
        page = await self._core.list_agents(caller().tenant, request)
        return agent_service_pb2.ListAgentsResponse(
            agents=page.agents, next_page_token=page.next_page_token
        )

    async def UpdateAgent(
        self, request: agent_service_pb2.UpdateAgentRequest, context: Context
    ) -> agent_service_pb2.UpdateAgentResponse:
        agent = await self._core.update_agent(caller().tenant, request)
        return agent_service_pb2.UpdateAgentResponse(agent=agent)

    async def DeleteAgent(
        self, request: agent_service_pb2.DeleteAgentRequest, context: Context
    ) -> agent_service_pb2.DeleteAgentResponse:
        await self._core.delete_agent(caller().tenant, request)
        return agent_service_pb2.DeleteAgentResponse()


class SessionServicer(session_service_pb2_grpc.SessionServiceServicer):
    """SessionService over its core."""

    def __init__(self, core: SessionCore) -> None:
        self._core = core

    async def GetSession(
        self, request: session_service_pb2.GetSessionRequest, context: Context
    ) -> session_service_pb2.GetSessionResponse:
        session = await self._core.get_session(caller().tenant, request)
        return session_service_pb2.GetSessionResponse(session=session)

    async def ListSessions(
        self, request: session_service_pb2.ListSessionsRequest, context: Context
    ) -> session_service_pb2.ListSessionsResponse:
        page = await self._core.list_sessions(caller().tenant, request)
        return session_service_pb2.ListSessionsResponse(
            sessions=page.sessions, next_page_token=page.next_page_token
        )

    async def ListMessages(
        self, request: session_service_pb2.ListMessagesRequest, context: Context
    ) -> session_service_pb2.ListMessagesResponse:
        page = await self._core.list_messages(caller().tenant, request)
        return session_service_pb2.ListMessagesResponse(
            messages=page.messages, next_page_token=page.next_page_token
        )

    async def DeleteSession(
        self, request: session_service_pb2.DeleteSessionRequest, context: Context
    ) -> session_service_pb2.DeleteSessionResponse:
        await self._core.delete_session(caller().tenant, request)
        return session_service_pb2.DeleteSessionResponse()


class SystemServicer(system_service_pb2_grpc.SystemServiceServicer):
    """SystemService over its core."""

    def __init__(self, core: SystemCore) -> None:
        self._core = core

    async def GetSystemStatus(
        self, request: system_service_pb2.GetSystemStatusRequest, context: Context
    ) -> system_service_pb2.GetSystemStatusResponse:
        return await self._core.get_system_status()


class ToolServicer(tool_service_pb2_grpc.ToolServiceServicer):
    """ToolService over its core."""

    def __init__(self, core: ToolCore) -> None:
        self._core = core

    async def ListTools(
        self, request: tool_service_pb2.ListToolsRequest, context: Context
    ) -> tool_service_pb2.ListToolsResponse:
        return tool_service_pb2.ListToolsResponse(tools=await self._core.list_tools())

    async def GetTool(
        self, request: tool_service_pb2.GetToolRequest, context: Context
    ) -> tool_service_pb2.GetToolResponse:
        return tool_service_pb2.GetToolResponse(tool=await self._core.get_tool(request))


class TraceServicer(trace_service_pb2_grpc.TraceServiceServicer):
    """TraceService over its core."""

    def __init__(self, core: TraceCore) -> None:
        self._core = core

    async def GetRunTrace(
        self, request: trace_service_pb2.GetRunTraceRequest, context: Context
    ) -> trace_service_pb2.GetRunTraceResponse:
        trace_id, spans = await self._core.get_run_trace(caller().tenant, request)
        return trace_service_pb2.GetRunTraceResponse(trace_id=trace_id, spans=spans)
