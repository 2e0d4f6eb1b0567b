"""Agents and their revisions, on the wire."""

from pentad.state.v1 import agent_service_pb2 as pb
from pentad.state.v1 import agent_service_pb2_grpc as pb_grpc
from pentad_chassis.server import Context
from pentad_state.core import StateCore


class AgentServicer(pb_grpc.AgentServiceServicer):
    """Agents and their revisions."""

    def __init__(self, core: StateCore) -> None:
        self._agents = core.agents

    async def CreateAgent(
        self, request: pb.CreateAgentRequest, context: Context
    ) -> pb.CreateAgentResponse:
        agent = await self._agents.create(request.tenant, request.agent, request.request_id)
        return pb.CreateAgentResponse(agent=agent)

    async def GetAgent(self, request: pb.GetAgentRequest, context: Context) -> pb.GetAgentResponse:
        agent = await self._agents.get(request.tenant, request.name, request.revision)
        return pb.GetAgentResponse(agent=agent)

    async def ListAgents(
        self, request: pb.ListAgentsRequest, context: Context
    ) -> pb.ListAgentsResponse:
        agents, token = await self._agents.list_agents(
            request.tenant, request.capability, request.page_size, request.page_token
        )
        return pb.ListAgentsResponse(agents=agents, next_page_token=token)

    async def UpdateAgent(
        self, request: pb.UpdateAgentRequest, context: Context
    ) -> pb.UpdateAgentResponse:
        agent = await self._agents.update(request.tenant, request.agent, request.expected_revision)
        return pb.UpdateAgentResponse(agent=agent)

    async def DeleteAgent(
        self, request: pb.DeleteAgentRequest, context: Context
    ) -> pb.DeleteAgentResponse:
        await self._agents.delete(request.tenant, request.name)
        return pb.DeleteAgentResponse()
