"""What the store promises about agents."""

import pytest
from harness.runs import TENANT

from pentad.state.v1.agent_pb2 import Agent
from pentad_state.core import StateCore
from pentad_state.errors import (
    AgentAlreadyExists,
    AgentNotFound,
    InvalidPageToken,
    PayloadTooLarge,
    RequestIdReused,
    VersionMismatch,
)


def agent(name: str = "clerk", model: str = "rules:a", *capabilities: str) -> Agent:
    return Agent(name=name, model=model, capabilities=capabilities)


async def test_an_agent_begins_with_revision_one(core: StateCore) -> None:
    made = await core.agents.create(TENANT, agent(), "r1")

    assert made.revision == 1
    assert made.create_time == made.update_time
    assert await core.agents.get(TENANT, "clerk", 0) == made
    assert await core.agents.get(TENANT, "clerk", 1) == made
    with pytest.raises(AgentNotFound):
        await core.agents.get(TENANT, "clerk", 2)
    with pytest.raises(AgentNotFound):
        await core.agents.get("other", "clerk", 0)


async def test_a_repeated_creation_returns_what_the_first_returned(core: StateCore) -> None:
    made = await core.agents.create(TENANT, agent(), "r1")
    await core.agents.update(TENANT, agent(model="rules:b"), 0)

    assert await core.agents.create(TENANT, agent(), "r1") == made
    with pytest.raises(RequestIdReused):
        await core.agents.create(TENANT, agent(model="rules:c"), "r1")
    for request_id in ("", "r2"):
        with pytest.raises(AgentAlreadyExists):
            await core.agents.create(TENANT, agent(), request_id)


async def test_an_update_that_changes_something_adds_a_revision(core: StateCore) -> None:
    made = await core.agents.create(TENANT, agent(), "")

    changed = await core.agents.update(TENANT, agent(model="rules:b"), 1)
    repeated = await core.agents.update(TENANT, agent(model="rules:b"), 1)

    assert changed.revision == 2
    assert changed.create_time == made.create_time
    assert repeated == changed
    assert (await core.agents.get(TENANT, "clerk", 1)).model == "rules:a"
    assert (await core.agents.get(TENANT, "clerk", 0)).model == "rules:b"
    with pytest.raises(VersionMismatch):
        await core.agents.update(TENANT, agent(model="rules:c"), 1)
    assert (await core.agents.update(TENANT, agent(model="rules:c"), 0)).revision == 3
    with pytest.raises(AgentNotFound):
        await core.agents.update(TENANT, agent("nobody"), 0)


async def test_what_is_given_back_may_be_given_again(core: StateCore) -> None:
    made = await core.agents.create(TENANT, agent(), "")

    assert await core.agents.update(TENANT, made, 1) == made


async def test_a_deleted_agent_is_gone(core: StateCore) -> None:
    await core.agents.create(TENANT, agent(), "r1")

    await core.agents.delete(TENANT, "clerk")
    await core.agents.delete(TENANT, "clerk")

    with pytest.raises(AgentNotFound):
        await core.agents.get(TENANT, "clerk", 0)
    assert await core.agents.list_agents(TENANT, "", 0, "") == ([], "")
    assert (await core.agents.create(TENANT, agent(model="rules:z"), "r1")).revision == 1


async def test_agents_are_listed_by_name_and_capability(core: StateCore) -> None:
    for i in range(9):
        name = f"agent-{i}"
        await core.agents.create(TENANT, agent(name, "rules:a", *(["odd"] if i % 2 else [])), "")
    await core.agents.update(TENANT, agent("agent-0", "rules:b", "odd"), 0)

    assert await listed(core, "", 2) == [f"agent-{i}" for i in range(9)]
    assert await listed(core, "odd", 2) == [f"agent-{i}" for i in (0, 1, 3, 5, 7)]
    assert await listed(core, "none", 2) == []
    _, token = await core.agents.list_agents(TENANT, "", 2, "")
    with pytest.raises(InvalidPageToken):
        await core.agents.list_agents(TENANT, "odd", 2, token)


async def test_an_agent_is_bounded(core: StateCore) -> None:
    with pytest.raises(PayloadTooLarge) as caught:
        await core.agents.create(TENANT, Agent(name="a", instructions="x" * 300_000), "")
    assert caught.value.metadata["field"] == "agent"


async def listed(core: StateCore, capability: str, size: int) -> list[str]:
    found: list[str] = []
    token = ""
    for _ in range(20):
        agents, token = await core.agents.list_agents(TENANT, capability, size, token)
        found += [each.name for each in agents]
        if not token:
            return found
    raise AssertionError("the list has no end")
