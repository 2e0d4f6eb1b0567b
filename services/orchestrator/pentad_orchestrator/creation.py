"""What a run depends on, resolved and pinned when it is created."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING

from pentad.state.v1.agent_pb2 import Agent
from pentad.state.v1.agent_service_pb2 import GetAgentRequest, ListAgentsRequest
from pentad.state.v1.event_pb2 import PlannedStep, RunCreated
from pentad.state.v1.run_pb2 import RunSpec, Step
from pentad.state.v1.tool_pb2 import Tool
from pentad.state.v1.workflow_pb2 import WorkflowSpec
from pentad_chassis import native
from pentad_chassis.errors import FieldViolation, NotFound
from pentad_orchestrator import definitions
from pentad_orchestrator.catalogue import Catalogue
from pentad_orchestrator.errors import (
    AgentNotFound,
    CapabilityNotFound,
    ToolNotFound,
    TooManyAgents,
)
from pentad_orchestrator.heritage import Heritage
from pentad_orchestrator.workflows import Workflows

if TYPE_CHECKING:
    from pentad.state.v1.agent_service_pb2_grpc import AgentServiceAsyncStub

SIMPLE_STEP = "run"
"""Name of a simple run's only step."""

_PAGE_SIZE = 500
_PAGES_MAX = 20

_AGENTS_MAX = 64

_Performer = tuple[str, str]
"""`agent` or `capability`, and its name."""

_Find = Callable[[_Performer], Coroutine[None, None, Agent]]


class Creation:
    """Finds the agents and tools a run is to use."""

    def __init__(
        self, agents: "AgentServiceAsyncStub", workflows: Workflows, catalogue: Catalogue
    ) -> None:
        self._agents = agents
        self._workflows = workflows
        self._catalogue = catalogue

    async def pin(
        self,
        tenant: str,
        spec: RunSpec,
        request_id: str,
        traceparent: str,
        heritage: Heritage | None = None,
    ) -> RunCreated:
        """Return the run's first event: its steps, and the agents and tools they depend on.

        A run that another one starts gets what that one pinned, whatever became of it since.
        """
        steps = _steps(spec)
        find = partial(self._performer, tenant, request_id)
        if heritage is not None:
            find = partial(_inherited, heritage.pinned.agents)
        pinned = await self._workflows.pin(tenant, spec, find, heritage)
        if pinned is not None:
            steps = []
        performers = await _performers([who for _, who in steps], find)
        first = performers.values() if pinned is None else pinned.agents
        agents = await _with_all_that_they_name(first, find)
        return RunCreated(
            tenant=tenant,
            spec=spec,
            steps=[
                PlannedStep(name=step.name, agent=performers[who].name, input=step.input)
                for step, who in steps
            ],
            agents=agents,
            tools=await self._tools(agents, [] if pinned is None else pinned.tools, heritage),
            traceparent=traceparent,
            parent=None if heritage is None else heritage.parent,
            accounts=[] if heritage is None else heritage.accounts,
            graph=None if pinned is None else pinned.graph,
        )

    async def problems(self, tenant: str, spec: WorkflowSpec) -> list[FieldViolation]:
        """Return a violation for all that a workflow names and that does not exist."""
        return await self._workflows.problems(tenant, spec, partial(self._performer, tenant, ""))

    async def _performer(self, tenant: str, request_id: str, who: _Performer) -> Agent:
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

    async def _tools(
        self, agents: Sequence[Agent], of_graph: Sequence[Tool], heritage: Heritage | None
    ) -> list[Tool]:
        by_name = {agent.name: agent for agent in agents}
        known = {name: definitions.tool(name) for name in native.NAMES}
        for name in {name for agent in agents for name in agent.agents}:
            tool = definitions.tool_of(by_name[name])
            known[tool.name] = tool
        wanted = [name for agent in agents for name in agent.tools if name not in native.NAMES]
        if heritage is None:
            known.update(await self._catalogue.find(wanted))
        else:
            known.update((tool.name, tool) for tool in heritage.pinned.tools)
        used = _used(agents, known)
        known.update((tool.name, tool) for tool in of_graph)
        used.update(tool.name for tool in of_graph)
        return [known[name] for name in sorted(used)]


async def _performers(wanted: Sequence[_Performer], find: _Find) -> Mapping[_Performer, Agent]:
    distinct = list(dict.fromkeys(wanted))
    looking = [find(who) for who in distinct]
    agents = [await looking[0]] if len(looking) == 1 else await asyncio.gather(*looking)
    return dict(zip(distinct, agents, strict=True))


async def _with_all_that_they_name(first: Iterable[Agent], find: _Find) -> list[Agent]:
    """Return the agents with those that they may have work done by, and so on."""
    found = {agent.name: agent for agent in first}
    while missing := {name for a in found.values() for name in a.agents if name not in found}:
        if len(found) + len(missing) > _AGENTS_MAX:
            raise TooManyAgents(_AGENTS_MAX)
        more = await _performers([("agent", name) for name in sorted(missing)], find)
        found.update((agent.name, agent) for agent in more.values())
    return list(found.values())


async def _inherited(pinned: Sequence[Agent], who: _Performer) -> Agent:
    kind, name = who
    for agent in pinned:
        if name in agent.capabilities if kind == "capability" else name == agent.name:
            return agent
    raise CapabilityNotFound(name) if kind == "capability" else AgentNotFound(name)


def _used(agents: Sequence[Agent], known: Mapping[str, Tool]) -> set[str]:
    used: set[str] = set()
    for agent in agents:
        for name in agent.tools:
            if name not in known:
                raise ToolNotFound(name, agent.name)
        used.update(agent.tools, map(native.tool_of, agent.agents))
    return used


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
