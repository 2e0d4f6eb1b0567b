"""Agents and all their revisions. Those of one tenant are kept together."""

import asyncio

from pentad.state.v1.agent_pb2 import Agent
from pentad_state.bounds import PAYLOAD_BYTES, check_name, check_size
from pentad_state.errors import AgentAlreadyExists, AgentNotFound, RequestIdReused, VersionMismatch
from pentad_state.journal import to_time
from pentad_state.pages import SCAN, SCANS_MAX, STAMP, Page
from pentad_state.partitions import key, partition_of
from pentad_state.store import Reply, Store, script

_REVISIONS_MAX = 1000
"""Revisions kept of one agent; the oldest go first. Runs hold their own copy of theirs."""


class Agents:
    """Every method is one atomic step of the store, lists aside."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def create(self, tenant: str, agent: Agent, request_id: str) -> Agent:
        """Record the first revision of an agent."""
        definition = _to_definition(tenant, agent)
        verdict, *rest = await self._store.run(
            script("agent_create"), _keys(tenant, agent.name), agent.name, request_id, definition
        )
        match verdict:
            case b"OK":
                return _to_agent(rest)
            case b"REUSED":
                raise RequestIdReused(request_id)
            case _:
                raise AgentAlreadyExists(agent.name)

    async def get(self, tenant: str, name: str, revision: int) -> Agent:
        """Return a revision of an agent; 0 is the latest."""
        verdict, *rest = await self._read(tenant, name, revision)
        if verdict == b"GONE":
            raise AgentNotFound(name)
        return _to_agent(rest)

    async def list_agents(
        self, tenant: str, capability: str, size: int, token: str
    ) -> tuple[list[Agent], str]:
        """Return a page of a tenant's agents by name, and the token of the next."""
        page = Page[Agent](("agents", tenant, capability), size, token)
        index = _keys(tenant, "")[1]
        for _ in range(SCANS_MAX):
            start = f"({page.last}" if page.last else "-"
            names = [
                name.decode()
                for name in await self._store.call(
                    "ZRANGEBYLEX", index, start, "+", "LIMIT", 0, SCAN
                )
            ]
            found = await asyncio.gather(*(self._read(tenant, name, 0) for name in names))
            for name, (verdict, *rest) in zip(names, found, strict=True):
                if not page.room:
                    return page.items, page.next_token()
                agent = _to_agent(rest) if verdict == b"OK" else Agent()
                if agent.name and (not capability or capability in agent.capabilities):
                    page.add(name, agent)
                else:
                    page.skip(name)
            if len(names) < SCAN:
                return page.items, ""
        return page.items, page.next_token()

    async def update(self, tenant: str, agent: Agent, expected_revision: int) -> Agent:
        """Record a revision, unless it changes nothing; return the latest."""
        definition = _to_definition(tenant, agent)
        verdict, *rest = await self._store.run(
            script("agent_update"),
            _keys(tenant, agent.name)[:1],
            expected_revision, definition, _REVISIONS_MAX,
        )  # fmt: skip
        match verdict:
            case b"OK":
                return _to_agent(rest)
            case b"MISMATCH":
                raise VersionMismatch(agent.name, expected_revision, rest[0])
            case _:
                raise AgentNotFound(agent.name)

    async def delete(self, tenant: str, name: str) -> None:
        """Forget an agent and its revisions."""
        await self._store.run(script("agent_delete"), _keys(tenant, name), name)

    async def _read(self, tenant: str, name: str, revision: int) -> Reply:
        return await self._store.run(script("agent_get"), _keys(tenant, name)[:1], revision)


def _keys(tenant: str, name: str) -> list[str]:
    """Return the keys of an agent and of its tenant's index."""
    p = partition_of(tenant)
    return [key(p, "agent", tenant, name), key(p, "agents", tenant)]


def _to_definition(tenant: str, agent: Agent) -> bytes:
    """Return what tells one revision from another."""
    check_name("tenant", tenant)
    check_name("agent.name", agent.name)
    definition = Agent()
    definition.CopyFrom(agent)
    definition.ClearField("revision")
    definition.ClearField("create_time")
    definition.ClearField("update_time")
    kept = definition.SerializeToString(deterministic=True)
    check_size("agent", len(kept), PAYLOAD_BYTES)
    return kept


def _to_agent(recorded: Reply) -> Agent:
    revision, created, kept = recorded
    agent = Agent.FromString(kept[STAMP:])
    agent.revision = revision
    agent.create_time.CopyFrom(to_time(int(created)))
    agent.update_time.CopyFrom(to_time(int(kept[:STAMP])))
    return agent
