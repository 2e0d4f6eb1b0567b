"""Workflows of runs: what they name is found, or said to be missing, all at once."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pentad.state.v1.agent_pb2 import Agent
from pentad.state.v1.entry_service_pb2 import Entry, GetEntryRequest
from pentad.state.v1.run_pb2 import RunSpec
from pentad.state.v1.tool_pb2 import EFFECT_PURE, Tool
from pentad.state.v1.workflow_pb2 import PinnedGraph, Workflow, WorkflowSpec
from pentad_chassis import scopes
from pentad_chassis.errors import FieldViolation, NotFound
from pentad_orchestrator.catalogue import Catalogue
from pentad_orchestrator.errors import WorkflowInvalid, WorkflowNotFound
from pentad_orchestrator.graph.needs import Kind, Need, needs_of, recursion
from pentad_orchestrator.heritage import Heritage

if TYPE_CHECKING:
    from pentad.state.v1.entry_service_pb2_grpc import EntryServiceAsyncStub

_WORKFLOWS_MAX = 64
"""Stored workflows that one names, or that those name."""

Find = Callable[[tuple[str, str]], Coroutine[None, None, Agent]]
"""Finds whoever is named: `agent` or `capability`, and a name."""


@dataclass(slots=True)
class Pinned:
    """A workflow with all that it names."""

    graph: PinnedGraph
    agents: list[Agent] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)


class Workflows:
    """Finds what workflows name."""

    def __init__(self, entries: "EntryServiceAsyncStub", catalogue: Catalogue) -> None:
        self._entries = entries
        self._catalogue = catalogue

    async def pin(
        self, tenant: str, spec: RunSpec, find: Find, heritage: Heritage | None
    ) -> Pinned | None:
        """Return the workflow that a run is of; None for a run of agents.

        Raise WorkflowNotFound, or WorkflowInvalid with all that it names and that does not exist.
        """
        graph = PinnedGraph()
        match spec.WhichOneof("workflow"):
            case "graph":
                graph.spec.CopyFrom(spec.graph)
                at = "spec.graph"
            case "workflow_name":
                stored = await self._stored(tenant, spec.workflow_name, heritage)
                graph.spec.CopyFrom(stored.spec)
                graph.stored.CopyFrom(stored)
                graph.stored.ClearField("spec")
                at = f"spec.workflow_name({stored.name})"
            case _:
                return None
        pinned, problems = await self._resolve(tenant, graph, at, find, heritage)
        if problems:
            raise WorkflowInvalid(problems)
        return pinned

    async def problems(self, tenant: str, spec: WorkflowSpec, find: Find) -> list[FieldViolation]:
        """Return a violation for all that a workflow names and that does not exist."""
        _, problems = await self._resolve(tenant, PinnedGraph(spec=spec), "spec", find, None)
        return problems

    async def _resolve(
        self, tenant: str, graph: PinnedGraph, at: str, find: Find, heritage: Heritage | None
    ) -> tuple[Pinned, list[FieldViolation]]:
        needs, found, problems = await self._reached(tenant, graph.spec, at, heritage)
        named = {name: _named(workflow.spec) for name, workflow in found.items()}
        first = graph.stored.name or ""
        if first:
            named[first] = _named(graph.spec)
        if circle := recursion(named, [first] if first else _named(graph.spec)):
            way = " → ".join(circle)
            problems.append(FieldViolation(at, f"must not come back to a workflow: {way}"))
        graph.workflows.extend(found[name] for name in sorted(found))
        agents, missing = await _agents(needs, find)
        problems += missing
        for need in needs:
            if need.kind is Kind.CAPABILITY and (agent := agents.get(_who(need))) is not None:
                graph.capabilities[need.name] = agent.name
        tools, missing = await self._tools(needs, heritage)
        problems += missing
        distinct = {agent.name: agent for agent in agents.values()}
        return Pinned(graph, list(distinct.values()), tools), problems

    async def _reached(
        self, tenant: str, spec: WorkflowSpec, at: str, heritage: Heritage | None
    ) -> tuple[list[Need], dict[str, Workflow], list[FieldViolation]]:
        """Return all that a workflow names, or those that it names, and the latter."""
        found: dict[str, Workflow] = {}
        problems: list[FieldViolation] = []
        needs = list(needs_of(spec, at))
        for need in needs:  # grows while it is gone through
            if need.kind is not Kind.WORKFLOW or need.name in found:
                continue
            if len(found) == _WORKFLOWS_MAX:
                words = f"must not lead to more than {_WORKFLOWS_MAX} workflows"
                problems.append(FieldViolation(at, words))
                break
            try:
                stored = await self._stored(tenant, need.name, heritage)
            except WorkflowNotFound:
                problems.append(FieldViolation(need.at, f"no workflow {need.name!r}"))
                continue
            found[need.name] = stored
            needs += needs_of(stored.spec, f"{need.at}({need.name})")
        return needs, found, problems

    async def _stored(self, tenant: str, name: str, heritage: Heritage | None) -> Workflow:
        if heritage is not None:
            for each in heritage.pinned.graph.workflows:
                if each.name == name:
                    return each
            raise WorkflowNotFound(name)
        try:
            request = GetEntryRequest(scope=scopes.workflows(tenant), key=name)
            response = await self._entries.GetEntry(request)
        except NotFound:
            raise WorkflowNotFound(name) from None
        return _to_workflow(response.entry)

    async def _tools(
        self, needs: Sequence[Need], heritage: Heritage | None
    ) -> tuple[list[Tool], list[FieldViolation]]:
        wanted = [need for need in needs if need.kind is Kind.TOOL]
        if heritage is None:
            known = await self._catalogue.find(need.name for need in wanted)
        else:
            known = {tool.name: tool for tool in heritage.pinned.tools}
        problems = []
        for need in wanted:
            tool = known.get(need.name)
            if tool is None or tool.native:
                words = f"no tool {need.name!r}; ToolService.ListTools shows all"
                problems.append(FieldViolation(need.at, words))
            elif need.taken_back and tool.effect == EFFECT_PURE:
                words = f"must not be set: {need.name!r} has no effect to take back"
                problems.append(FieldViolation(need.taken_back, words))
        used = sorted({need.name for need in wanted} & known.keys())
        return [known[name] for name in used], problems


async def _agents(
    needs: Sequence[Need], find: Find
) -> tuple[Mapping[tuple[str, str], Agent], list[FieldViolation]]:
    wanted = [need for need in needs if need.kind in {Kind.AGENT, Kind.CAPABILITY}]
    distinct = list(dict.fromkeys(map(_who, wanted)))
    looked = await asyncio.gather(*map(find, distinct), return_exceptions=True)
    agents: dict[tuple[str, str], Agent] = {}
    missing: set[tuple[str, str]] = set()
    for who, answer in zip(distinct, looked, strict=True):
        if isinstance(answer, Agent):
            agents[who] = answer
        elif isinstance(answer, NotFound):
            missing.add(who)
        else:
            raise answer
    problems = [
        FieldViolation(need.at, f"no agent {need.name!r}")
        if need.kind is Kind.AGENT
        else FieldViolation(need.at, f"no agent has the capability {need.name!r}")
        for need in wanted
        if _who(need) in missing
    ]
    return agents, problems


def _who(need: Need) -> tuple[str, str]:
    return need.kind.value, need.name


def _named(spec: WorkflowSpec) -> list[str]:
    return [need.name for need in needs_of(spec, "") if need.kind is Kind.WORKFLOW]


def _to_workflow(entry: Entry) -> Workflow:
    return Workflow(
        name=entry.key,
        version=entry.version,
        spec=WorkflowSpec.FromString(entry.value),
        create_time=entry.create_time,
        update_time=entry.update_time,
    )
