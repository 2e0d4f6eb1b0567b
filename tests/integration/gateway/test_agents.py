"""Agents, sessions and tools through the public API."""

import grpc
import pytest
from integration.gateway.client import Gateway, reason, violations

from pentad.gateway.v1 import agent_service_pb2 as pb
from pentad.gateway.v1 import session_service_pb2 as sessions_pb
from pentad.gateway.v1 import tool_service_pb2 as tools_pb
from pentad.gateway.v1.agent_service_pb2_grpc import AgentServiceStub
from pentad.gateway.v1.session_service_pb2_grpc import SessionServiceStub
from pentad.gateway.v1.tool_service_pb2_grpc import ToolServiceStub
from pentad.state.v1 import agent_service_pb2 as state_pb
from pentad.state.v1 import session_service_pb2 as state_sessions_pb
from pentad.state.v1.agent_pb2 import Agent

CLERK = Agent(name="clerk", model="openai:gpt-5", tools=["calculator", "notebook"])
LOST = Agent(name="clerk", model="openai:gpt-5", tools=["calculator", "teleport"])


async def test_an_agent_is_recorded_for_the_callers_tenant(gateway: Gateway) -> None:
    agents = AgentServiceStub(gateway.channel)
    created = await agents.CreateAgent(
        pb.CreateAgentRequest(agent=CLERK, request_id="r-1"), metadata=gateway.auth
    )
    updated = await agents.UpdateAgent(
        pb.UpdateAgentRequest(agent=CLERK, expected_revision=3), metadata=gateway.auth
    )

    assert created.agent == updated.agent == CLERK
    assert gateway.peers.asked == [
        state_pb.CreateAgentRequest(tenant="default", agent=CLERK, request_id="r-1"),
        state_pb.UpdateAgentRequest(tenant="default", agent=CLERK, expected_revision=3),
    ]


async def test_an_agent_with_an_unknown_tool_is_refused(gateway: Gateway) -> None:
    agents = AgentServiceStub(gateway.channel)
    with pytest.raises(grpc.aio.AioRpcError) as created:
        await agents.CreateAgent(pb.CreateAgentRequest(agent=LOST), metadata=gateway.auth)
    with pytest.raises(grpc.aio.AioRpcError) as updated:
        await agents.UpdateAgent(pb.UpdateAgentRequest(agent=LOST), metadata=gateway.auth)

    for refused in (created.value, updated.value):
        assert reason(refused) == "REQUEST_INVALID"
        assert violations(refused) == ["agent.tools[1]"]
    assert gateway.peers.asked == []


async def test_without_the_catalogue_no_agent_is_recorded(gateway: Gateway) -> None:
    gateway.peers.tools.down = True
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await AgentServiceStub(gateway.channel).CreateAgent(
            pb.CreateAgentRequest(agent=CLERK), metadata=gateway.auth
        )

    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
    assert gateway.peers.asked == []


async def test_agents_are_read_and_forgotten(gateway: Gateway) -> None:
    agents = AgentServiceStub(gateway.channel)
    auth = gateway.auth
    got = await agents.GetAgent(pb.GetAgentRequest(name="clerk", revision=2), metadata=auth)
    page = await agents.ListAgents(
        pb.ListAgentsRequest(capability="c", page_size=9, page_token="t"), metadata=auth
    )
    await agents.DeleteAgent(pb.DeleteAgentRequest(name="clerk"), metadata=auth)

    assert got.agent == Agent(name="clerk", revision=2)
    assert [agent.name for agent in page.agents] == ["clerk"]
    assert page.next_page_token == "more"
    assert gateway.peers.asked == [
        state_pb.GetAgentRequest(tenant="default", name="clerk", revision=2),
        state_pb.ListAgentsRequest(tenant="default", capability="c", page_size=9, page_token="t"),
        state_pb.DeleteAgentRequest(tenant="default", name="clerk"),
    ]


async def test_sessions_are_read_and_forgotten(gateway: Gateway) -> None:
    sessions = SessionServiceStub(gateway.channel)
    auth = gateway.auth
    got = await sessions.GetSession(sessions_pb.GetSessionRequest(session_id="s"), metadata=auth)
    page = await sessions.ListSessions(
        sessions_pb.ListSessionsRequest(page_size=9, page_token="t"), metadata=auth
    )
    messages = await sessions.ListMessages(
        sessions_pb.ListMessagesRequest(session_id="s", page_size=9, page_token="t"), metadata=auth
    )
    await sessions.DeleteSession(sessions_pb.DeleteSessionRequest(session_id="s"), metadata=auth)

    assert got.session.session_id == "s"
    assert [session.session_id for session in page.sessions] == ["s"]
    assert [message.seq for message in messages.messages] == [1]
    assert page.next_page_token == messages.next_page_token == "more"
    assert gateway.peers.asked == [
        state_sessions_pb.GetSessionRequest(tenant="default", session_id="s"),
        state_sessions_pb.ListSessionsRequest(tenant="default", page_size=9, page_token="t"),
        state_sessions_pb.ListMessagesRequest(
            tenant="default", session_id="s", page_size=9, page_token="t"
        ),
        state_sessions_pb.DeleteSessionRequest(tenant="default", session_id="s"),
    ]


async def test_the_catalogue_is_shown_by_name(gateway: Gateway) -> None:
    tools = ToolServiceStub(gateway.channel)
    listed = await tools.ListTools(tools_pb.ListToolsRequest(), metadata=gateway.auth)
    one = await tools.GetTool(tools_pb.GetToolRequest(name="notebook"), metadata=gateway.auth)

    assert [tool.name for tool in listed.tools] == ["calculator", "notebook"]
    assert one.tool.name == "notebook"
