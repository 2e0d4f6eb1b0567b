"""What is pinned when a run is created."""

from typing import Any

import pytest
from harness.fake_entries import FakeEntries
from harness.fake_state import FakeAgents
from harness.fakes import FakeTools, direct

from pentad.state.v1.agent_pb2 import Agent
from pentad.state.v1.run_pb2 import MultiStepWorkflow, RunSpec, Step
from pentad.tools.v1.tools_service_pb2 import InvokeToolRequest, InvokeToolResponse
from pentad_chassis.clock import FakeClock
from pentad_orchestrator.catalogue import Catalogue
from pentad_orchestrator.creation import Creation, fingerprint
from pentad_orchestrator.errors import AgentNotFound, CapabilityNotFound, ToolNotFound
from pentad_orchestrator.workflows import Workflows


async def tool(_: InvokeToolRequest) -> InvokeToolResponse:
    return InvokeToolResponse()


class Peers:
    """The services that creation reads."""

    def __init__(self) -> None:
        self.agents = FakeAgents(
            Agent(name="clerk", revision=2, tools=["add"], capabilities=["sums"]),
            Agent(name="other", revision=1, tools=["add", "sub"], capabilities=["sums"]),
        )
        self.tools = FakeTools(add=tool, sub=tool)
        self.clock = FakeClock()
        catalogue = Catalogue(direct(self.tools), 5.0, self.clock)
        self.entries = FakeEntries()
        workflows = Workflows(direct(self.entries), catalogue)
        self.creation = Creation(direct(self.agents), workflows, catalogue)

    async def pin(self, request_id: str = "r", **spec: Any) -> Any:
        return await self.creation.pin("acme", RunSpec(input="x", **spec), request_id, "00-aa")


async def test_a_simple_run_pins_its_agent_and_tools() -> None:
    created = await Peers().pin(agent="clerk")

    assert [(s.name, s.agent, s.input) for s in created.steps] == [("run", "clerk", "x")]
    assert [(a.name, a.revision) for a in created.agents] == [("clerk", 2)]
    assert [t.name for t in created.tools] == ["add"]
    assert (created.tenant, created.traceparent) == ("acme", "00-aa")


async def test_every_agent_is_read_once_and_steps_fall_back_on_the_runs() -> None:
    peers = Peers()
    steps = [Step(name="a"), Step(name="b", agent="other"), Step(name="c", agent="clerk")]
    created = await peers.pin(agent="clerk", multi_step=MultiStepWorkflow(steps=steps))

    assert [s.agent for s in created.steps] == ["clerk", "other", "clerk"]
    assert sorted(peers.agents.reads) == ["clerk", "other"]
    assert [t.name for t in created.tools] == ["add", "sub"]


async def test_a_capability_picks_by_request_and_spreads() -> None:
    peers = Peers()
    picks = [(await peers.pin(f"r{n}", capability="sums")).agents[0].name for n in range(40)]

    assert set(picks) == {"clerk", "other"}
    assert (await peers.pin("r7", capability="sums")).agents[0].name == picks[7]


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ({"agent": "nobody"}, AgentNotFound),
        ({}, AgentNotFound),
        ({"capability": "magic"}, CapabilityNotFound),
        ({"agent": "dreamer"}, ToolNotFound),
    ],
)
async def test_what_is_missing_is_named(spec: dict[str, str], error: type[Exception]) -> None:
    peers = Peers()
    peers.agents.agents["dreamer"] = Agent(name="dreamer", tools=["fly"])

    with pytest.raises(error):
        await peers.pin(**spec)


async def test_the_catalogue_is_read_again_when_old_or_lacking() -> None:
    peers = Peers()
    await peers.pin(agent="clerk")
    await peers.pin(agent="clerk")
    assert peers.tools.listings == 1

    peers.clock.advance(6)
    await peers.pin(agent="clerk")
    assert peers.tools.listings == 2

    peers.agents.agents["clerk"].tools.append("new")
    peers.tools.behaviours["new"] = tool
    await peers.pin(agent="clerk")
    assert peers.tools.listings == 3


def test_a_fingerprint_tells_requests_apart() -> None:
    prints = {
        fingerprint("acme", RunSpec(agent="clerk", input="x")),
        fingerprint("acme", RunSpec(agent="clerk", input="y")),
        fingerprint("other", RunSpec(agent="clerk", input="x")),
    }

    assert len(prints) == 3
    assert fingerprint("acme", RunSpec(agent="clerk", input="x")) in prints
