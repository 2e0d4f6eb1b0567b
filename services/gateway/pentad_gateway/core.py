"""What the gateway does with a valid caller's requests: check, then ask the service that knows.

Every method takes the caller's tenant, which no request can choose, and raises RequestInvalid
with every field at fault before it asks anyone.
"""

import asyncio
from typing import TYPE_CHECKING

from pentad.gateway.v1 import (
    agent_service_pb2,
    session_service_pb2,
    tool_service_pb2,
    trace_service_pb2,
)
from pentad.state.v1.agent_pb2 import Agent
from pentad.state.v1.agent_service_pb2 import (
    CreateAgentRequest,
    DeleteAgentRequest,
    GetAgentRequest,
    ListAgentsRequest,
    ListAgentsResponse,
    UpdateAgentRequest,
)
from pentad.state.v1.run_service_pb2 import GetRunRequest
from pentad.state.v1.session_pb2 import Session
from pentad.state.v1.session_service_pb2 import (
    DeleteSessionRequest,
    ForkSessionRequest,
    GetSessionRequest,
    ListMessagesRequest,
    ListMessagesResponse,
    ListSessionsRequest,
    ListSessionsResponse,
)
from pentad.state.v1.tool_pb2 import Tool
from pentad.state.v1.trace_service_pb2 import GetTraceRequest, Span
from pentad.tools.v1.tools_service_pb2 import GetToolRequest, ListToolsRequest
from pentad_chassis.clock import random_id
from pentad_gateway import validation
from pentad_gateway.errors import require

if TYPE_CHECKING:
    from pentad.state.v1.agent_service_pb2_grpc import AgentServiceAsyncStub
    from pentad.state.v1.run_service_pb2_grpc import RunServiceAsyncStub
    from pentad.state.v1.session_service_pb2_grpc import SessionServiceAsyncStub
    from pentad.state.v1.trace_service_pb2_grpc import TraceServiceAsyncStub
    from pentad.tools.v1.tools_service_pb2_grpc import ToolsServiceAsyncStub


class AgentCore:
    """Agents, whose tools exist when they are recorded.

    Their expressions are compiled in a thread: a hundred bad ones take a second.
    """

    def __init__(self, state: "AgentServiceAsyncStub", tools: "ToolsServiceAsyncStub") -> None:
        self._state = state
        self._tools = tools

    async def create_agent(
        self, tenant: str, request: agent_service_pb2.CreateAgentRequest
    ) -> Agent:
        """Record the first revision of an agent."""
        require(await asyncio.to_thread(validation.create_agent, request))
        await self._require_tools(request.agent)
        response = await self._state.CreateAgent(
            CreateAgentRequest(
                tenant=tenant,
                agent=request.agent,
                request_id=request.request_id or random_id(),
            )
        )
        return response.agent

    async def get_agent(self, tenant: str, request: agent_service_pb2.GetAgentRequest) -> Agent:
        """Return one revision of an agent."""
        require(validation.get_agent(request))
        response = await self._state.GetAgent(
            GetAgentRequest(tenant=tenant, name=request.name, revision=request.revision)
        )
        return response.agent

    async def list_agents(
        self, tenant: str, request: agent_service_pb2.ListAgentsRequest
    ) -> ListAgentsResponse:
        """Return a page of agents."""
        require(validation.list_agents(request))
        return await self._state.ListAgents(
            ListAgentsRequest(
                tenant=tenant,
                capability=request.capability,
                page_size=request.page_size,
                page_token=request.page_token,
            )
        )

    async def update_agent(
        self, tenant: str, request: agent_service_pb2.UpdateAgentRequest
    ) -> Agent:
        """Record a new revision of an agent."""
        require(await asyncio.to_thread(validation.update_agent, request))
        await self._require_tools(request.agent)
        response = await self._state.UpdateAgent(
            UpdateAgentRequest(
                tenant=tenant,
                agent=request.agent,
                expected_revision=request.expected_revision,
            )
        )
        return response.agent

    async def delete_agent(
        self, tenant: str, request: agent_service_pb2.DeleteAgentRequest
    ) -> None:
        """Forget an agent."""
        require(validation.delete_agent(request))
        await self._state.DeleteAgent(DeleteAgentRequest(tenant=tenant, name=request.name))

    async def _require_tools(self, agent: Agent) -> None:
        if agent.tools:
            response = await self._tools.ListTools(ListToolsRequest())
            require(validation.unknown_tools(agent, {tool.name for tool in response.tools}))


class SessionCore:
    """Conversations, as runs left them."""

    def __init__(self, state: "SessionServiceAsyncStub") -> None:
        self._state = state

    async def get_session(
        self, tenant: str, request: session_service_pb2.GetSessionRequest
    ) -> Session:
        """Return one session."""
        require(validation.name_session(request))
        response = await self._state.GetSession(
            GetSessionRequest(tenant=tenant, session_id=request.session_id)
        )
        return response.session

    async def list_sessions(
        self, tenant: str, request: session_service_pb2.ListSessionsRequest
    ) -> ListSessionsResponse:
        """Return a page of sessions."""
        require(validation.list_sessions(request))
        return await self._state.ListSessions(
            ListSessionsRequest(
                tenant=tenant, page_size=request.page_size, page_token=request.page_token
            )
        )

    async def list_messages(
        self, tenant: str, request: session_service_pb2.ListMessagesRequest
    ) -> ListMessagesResponse:
        """Return a page of a session's messages."""
        require(validation.list_messages(request))
        return await self._state.ListMessages(
            ListMessagesRequest(
                tenant=tenant,
                session_id=request.session_id,
                page_size=request.page_size,
                page_token=request.page_token,
            )
        )

    async def fork_session(
        self, tenant: str, request: session_service_pb2.ForkSessionRequest
    ) -> Session:
        """Begin a session with the messages of another one."""
        require(validation.fork_session(request))
        response = await self._state.ForkSession(
            ForkSessionRequest(
                tenant=tenant,
                session_id=request.session_id,
                at_seq=request.at_seq,
                new_session_id=request.new_session_id,
                fork_id=request.request_id or random_id(),
            )
        )
        return response.session

    async def delete_session(
        self, tenant: str, request: session_service_pb2.DeleteSessionRequest
    ) -> None:
        """Forget a session."""
        require(validation.name_session(request))
        await self._state.DeleteSession(
            DeleteSessionRequest(tenant=tenant, session_id=request.session_id)
        )


class ToolCore:
    """The catalogue, which is the same for every tenant."""

    def __init__(self, tools: "ToolsServiceAsyncStub") -> None:
        self._tools = tools

    async def list_tools(self) -> list[Tool]:
        """Return the catalogue by name."""
        response = await self._tools.ListTools(ListToolsRequest())
        return sorted(response.tools, key=lambda tool: tool.name)

    async def get_tool(self, request: tool_service_pb2.GetToolRequest) -> Tool:
        """Return one tool."""
        require(validation.get_tool(request))
        response = await self._tools.GetTool(GetToolRequest(name=request.name))
        return response.tool


class TraceCore:
    """Traces, reached only through runs, so that a tenant sees none but its own."""

    def __init__(self, state: "RunServiceAsyncStub", traces: "TraceServiceAsyncStub") -> None:
        self._state = state
        self._traces = traces

    async def get_run_trace(
        self, tenant: str, request: trace_service_pb2.GetRunTraceRequest
    ) -> tuple[str, list[Span]]:
        """Return a run's trace id and the spans that are kept; nothing for one not traced."""
        require(validation.get_run(request))
        found = await self._state.GetRun(GetRunRequest(tenant=tenant, run_id=request.run_id))
        trace_id = found.run.trace_id
        if not trace_id:
            return "", []
        response = await self._traces.GetTrace(GetTraceRequest(trace_id=trace_id))
        return trace_id, list(response.spans)
