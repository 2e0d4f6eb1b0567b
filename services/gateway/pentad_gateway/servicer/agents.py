"""Agents, on the wire."""

from pentad.gateway.v1 import agent_service_pb2 as pb
from pentad.gateway.v1 import agent_service_pb2_grpc as pb_grpc
from pentad_chassis.server import Context, caller
from pentad_gateway.core import AgentCore


class AgentServicer(pb_grpc.AgentServiceServicer):
    """AgentService over its core."""

    def __init__(self, core: AgentCore) -> None:
        self._core = core

    async def CreateAgent(
        self, request: pb.CreateAgentRequest, context: Context
    ) -> pb.CreateAgentResponse:
        agent = await self._core.create_agent(caller().tenant, request)
        return pb.CreateAgentResponse(agent=agent)

    async def GetAgent(self, request: pb.GetAgentRequest, context: Context) -> pb.GetAgentResponse:
        agent = await self._core.get_agent(caller().tenant, request)
        return pb.GetAgentResponse(agent=agent)

    async def ListAgents(
        self, request: pb.ListAgentsRequest, context: Context
    ) -> pb.ListAgentsResponse:
        page = await self._core.list_agents(caller().tenant, request)
        return pb.ListAgentsResponse(agents=page.agents, next_page_token=page.next_page_token)

    async def UpdateAgent(
        self, request: pb.UpdateAgentRequest, context: Context
    ) -> pb.UpdateAgentResponse:
        agent = await self._core.update_agent(caller().tenant, request)
        return pb.UpdateAgentResponse(agent=agent)

    async def DeleteAgent(
        self, request: pb.DeleteAgentRequest, context: Context
    ) -> pb.DeleteAgentResponse:
        await self._core.delete_agent(caller().tenant, request)
        return pb.DeleteAgentResponse()
