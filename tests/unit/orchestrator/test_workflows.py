"""What a run of a workflow pins, and all that is missing, told at once."""

from typing import Any

import pytest
from unit.orchestrator.graphs import workflow
from unit.orchestrator.test_creation import Peers

from pentad.state.v1.agent_pb2 import Agent
from pentad.state.v1.event_pb2 import Parent, RunCreated
from pentad.state.v1.run_pb2 import RunSpec
from pentad.state.v1.tool_pb2 import EFFECT_PURE
from pentad.state.v1.workflow_pb2 import WorkflowSpec
from pentad_chassis import scopes
from pentad_orchestrator.errors import WorkflowInvalid, WorkflowNotFound
from pentad_orchestrator.heritage import Heritage

AGENT = {"agent": {"name": "clerk", "input": "x"}}
TOOL = {"tool": {"name": "sub"}}


def calls(name: str) -> dict[str, Any]:
    return {"workflow": {"name": name}}


class Store(Peers):
    """The services that creation reads, with workflows."""

    def keep(self, name: str, spec: WorkflowSpec) -> None:
        place = (scopes.workflows("acme"), name)
        self.entries.values[place] = spec.SerializeToString()

    async def pin_graph(self, nodes: dict[str, Any], *edges: str) -> RunCreated:
        return await self.creation.pin("acme", RunSpec(graph=workflow(nodes, *edges)), "r", "00-aa")

    async def wrong_with(self, nodes: dict[str, Any]) -> dict[str, str]:
        with pytest.raises(WorkflowInvalid) as caught:
            await self.pin_graph(nodes)
        return {
            each.field.removeprefix("spec.graph."): each.description
            for each in caught.value.violations
        }


async def test_a_run_of_a_workflow_pins_all_that_it_names() -> None:
    store = Store()
    store.keep("inner", workflow({"x": {"agent": {"name": "other", "input": "x"}}}))
    capable = {"agent": {"capability": "sums", "input": "x"}}
    made = await store.pin_graph({"a": AGENT, "b": TOOL, "c": calls("inner"), "d": capable})

    assert not made.steps
    assert {agent.name for agent in made.agents} == {"clerk", "other"}
    assert [tool.name for tool in made.tools] == ["add", "sub"]
    assert [each.name for each in made.graph.workflows] == ["inner"]
    assert made.graph.capabilities["sums"] in {"clerk", "other"}
    assert made.graph.spec == made.spec.graph


async def test_a_stored_workflow_is_pinned_with_its_version() -> None:
    store = Store()
    store.keep("mine", workflow({"a": AGENT}))
    made = await store.creation.pin("acme", RunSpec(workflow_name="mine"), "r", "")

    assert made.graph.spec.nodes[0].name == "a"
    assert made.graph.stored.name == "mine"
    assert not made.graph.stored.HasField("spec"), "it stands there once"
    with pytest.raises(WorkflowNotFound):
        await store.creation.pin("acme", RunSpec(workflow_name="other"), "r", "")
    with pytest.raises(WorkflowNotFound):
        await store.creation.pin("else", RunSpec(workflow_name="mine"), "r", "")


async def test_all_that_is_missing_is_told_at_once() -> None:
    store = Store()
    store.keep("inner", workflow({"x": {"agent": {"name": "nobody", "input": "x"}}}))
    undo = {**AGENT, "compensation": {"tool": {"name": "fly"}}}
    mapped = {"map": {"over": "input", "agent": {"capability": "magic", "input": "x"}}}
    inline = {"workflow": {"inline": {"nodes": [{"name": "y", **calls("gone")}]}}}

    assert await store.wrong_with({"a": undo, "b": mapped, "c": calls("inner"), "d": inline}) == {
        "nodes[0].compensation.tool.name": "no tool 'fly'; ToolService.ListTools shows all",
        "nodes[1].map.agent.capability": "no agent has the capability 'magic'",
        "nodes[2].workflow.name(inner).nodes[0].agent.name": "no agent 'nobody'",
        "nodes[3].workflow.inline.nodes[0].workflow.name": "no workflow 'gone'",
    }


async def test_what_has_no_effect_is_not_taken_back() -> None:
    store = Store()
    store.tools.effect = EFFECT_PURE
    found = await store.wrong_with({"a": {**TOOL, "compensation": TOOL}})

    assert "has no effect to take back" in found["nodes[0].compensation"]


async def test_workflows_do_not_come_back_to_themselves() -> None:
    store = Store()
    store.keep("one", workflow({"a": calls("two")}))
    store.keep("two", workflow({"a": {"map": {"over": "input", **calls("one")}}}))

    with pytest.raises(WorkflowInvalid, match="one → two → one"):
        await store.pin_graph({"a": calls("one")})
    with pytest.raises(WorkflowInvalid, match="one → two → one"):
        await store.creation.pin("acme", RunSpec(workflow_name="one"), "r", "")


async def test_workflows_may_name_one_twice() -> None:
    store = Store()
    store.keep("leaf", workflow({"a": AGENT}))
    store.keep("left", workflow({"a": calls("leaf"), "b": calls("leaf")}))
    made = await store.pin_graph({"a": calls("left"), "b": calls("leaf")})

    assert [each.name for each in made.graph.workflows] == ["leaf", "left"]


async def test_a_child_gets_what_its_parent_pinned_whatever_became_of_it() -> None:
    store = Store()
    store.keep("inner", workflow({"x": {"agent": {"capability": "sums", "input": "x"}}, "y": TOOL}))
    pinned = await store.pin_graph({"a": calls("inner")})
    store.agents.agents.clear()
    store.entries.values.clear()
    store.tools.behaviours.clear()
    heritage = Heritage(Parent(run_id="p", depth=1), pinned)
    made = await store.creation.pin("acme", RunSpec(workflow_name="inner"), "c", "", heritage)

    assert made.graph.spec.nodes[0].name == "x"
    assert made.agents == pinned.agents
    assert made.graph.capabilities == pinned.graph.capabilities
    assert "sub" in [tool.name for tool in made.tools]


async def test_what_is_missing_is_told_without_a_run_too() -> None:
    store = Store()
    store.agents.agents["clerk"] = Agent(name="clerk")
    spec = workflow({"a": AGENT, "b": {"tool": {"name": "fly"}}})

    (problem,) = await store.creation.problems("acme", spec)
    assert problem.field == "spec.nodes[1].tool.name"
