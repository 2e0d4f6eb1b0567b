"""What a run depends on, resolved and pinned when it is created."""

import asyncio
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

from pentad.state.v1.agent_pb2 import Agent
from pentad.state.v1.agent_service_pb2 import GetAgentRequest, ListAgentsRequest
from pentad.state.v1.event_pb2 import PlannedStep, RunCreated
from pentad.state.v1.run_pb2 import RunSpec, Step
from pentad.state.v1.tool_pb2 import Tool
from pentad_chassis.errors import NotFound
from pentad_orchestrator.catalogue import Catalogue
from pentad_orchestrator.errors import AgentNotFound, CapabilityNotFound, ToolNotFound

if TYPE_CHECKING:
    from pentad.state.v1.agent_service_pb2_grpc import AgentServiceAsyncStub

SIMPLE_STEP = "run"
"""Name of a simple run's only step."""

_PAGE_SIZE = 500
_PAGES_MAX = 20

_Performer = tuple[str, str]
"""`agent` or `capability`, and its name."""


class Creation:
    """Finds the agents and tools a run is to use."""

    def __init__(self, agents: "AgentServiceAsyncStub", catalogue: Catalogue) -> None:
        self._agents = agents
        self._catalogue = catalogue

    async def pin(
        self, tenant: str, spec: RunSpec, request_id: str, traceparent: str
    ) -> RunCreated:
        """Return the run's first event: its steps, and the agents and tools they depend on."""
        steps = _steps(spec)
        performers = await self._performers(tenant, [who for _, who in steps], request_id)
        agents = {agent.name: agent for agent in performers.values()}
        return RunCreated(
            tenant=tenant,
            spec=spec,
            steps=[
                PlannedStep(name=step.name, agent=performers[who].name, input=step.input)
                for step, who in steps
            ],
            agents=agents.values(),
            tools=await self._tools(list(agents.values())),
            traceparent=traceparent,
        )

    async def _performers(
        self, tenant: str, wanted: Sequence[_Performer], request_id: str
    ) -> Mapping[_Performer, Agent]:
        distinct = list(dict.fromkeys(wanted))
        looking = [self._performer(tenant, who, request_id) for who in distinct]
        agents = [await looking[0]] if len(looking) == 1 else await asyncio.gather(*looking)
        return dict(zip(distinct, agents, strict=True))

    async def _performer(self, tenant: str, who: _Performer, request_id: str) -> Agent:
        kind, name = who
        if kind == "capability":
            return await self._capable(tenant, name, request_id)
        try:
            response = await self._agents.GetAgent(GetAgentRequest(tenant=tenant, name=name))
        except NotFound:
            raise AgentNotFound(name) from None
        return response.agent

    async def _capable(self, tenant: str, capability: str, request_id: str) -> Agent:
        """Pick by the request, so that runs spread and a repeated request picks alike."""
        found: list[Agent] = []
        request = ListAgentsRequest(tenant=tenant, capability=capability, page_size=_PAGE_SIZE)
        for _ in range(_PAGES_MAX):
            page = await self._agents.ListAgents(request)
            found += page.agents
            request.page_token = page.next_page_token
            if not request.page_token:
                break
        if not found:
            raise CapabilityNotFound(capability)
        digest = blake2b(f"{request_id}/{capability}".encode(), digest_size=8).digest()
        return found[int.from_bytes(digest, "big") % len(found)]

    async def _tools(self, agents: Sequence[Agent]) -> list[Tool]:
        known = await self._catalogue.find(name for agent in agents for name in agent.tools)
        for agent in agents:
            for name in agent.tools:
                if name not in known:
                    raise ToolNotFound(name, agent.name)
        return [known[name] for name in sorted(known)]


def fingerprint(tenant: str, spec: RunSpec) -> bytes:
    """Return a digest of what a caller asks for."""
    digest = blake2b(tenant.encode(), digest_size=32)
    digest.update(b"\0")
    digest.update(spec.SerializeToString(deterministic=True))
    return digest.digest()


def _steps(spec: RunSpec) -> list[tuple[Step, _Performer]]:
    """Return the steps with who is named to perform each."""
    steps: Sequence[Step] = spec.multi_step.steps
    if spec.WhichOneof("workflow") != "multi_step":
        steps = [Step(name=SIMPLE_STEP, input=spec.input)]
    return [(step, _named(step) or _named(spec) or ("agent", "")) for step in steps]


def _named(asked: RunSpec | Step) -> _Performer | None:
    match asked.WhichOneof("performer"):
        case "agent":
            return ("agent", asked.agent)
        case "capability":
            return ("capability", asked.capability)
    return None
