"""The store on many servers: each command goes to the one that holds its key's slot."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from redis.asyncio.connection import AbstractConnection
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, RedisError

from pentad_chassis.telemetry import Telemetry
from pentad_state.connection import Endpoint, Server, ask
from pentad_state.errors import StoreUnavailable
from pentad_state.exchange import Redirected
from pentad_state.partitions import PARTITIONS, key
from pentad_state.pipe import Pipe
from pentad_state.probes import probe
from pentad_state.store import Reply, Script, Value
from pentad_state.waiting import wait_for

_PAUSES_S = (0.0, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64)
"""Before a command that was sent elsewhere, or not taken yet, is sent again."""

_LOOK_PAUSE_S = 0.1
_LOOK_S = 2.0

_MARKS = tuple(key(partition, "mark") for partition in range(PARTITIONS))
"""A key of each partition."""

_Send = Callable[[Pipe, bool], Awaitable[Reply]]


class Cluster:
    """A pipe to each primary. What a server did not take, for a slot moves, is sent again.

    A command whose reply was lost fails, as with a single server, and the map is looked up anew.
    """

    def __init__(
        self,
        named: Sequence[Server],
        at: Callable[[Server], Endpoint],
        open_pipe: Callable[[Endpoint], Pipe],
        telemetry: Telemetry,
    ) -> None:
        self._named = tuple(named)
        self._at = at
        self._open_pipe = open_pipe
        self._log = telemetry.log
        self._servers = deque(self._named)
        """All that are known; the first is asked next."""
        self._owners: list[Server | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._pipes: dict[Server, tuple[Pipe, asyncio.Task[None]]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._stale = asyncio.Event()
        self._looked = asyncio.Event()
        """Set, and replaced, after each look at the map."""

    @property
    def waiting(self) -> int:
        """Commands that have not left."""
        return sum(pipe.waiting for pipe, _ in self._pipes.values())

    async def call(self, *command: Value, lasting: bool = False) -> Reply:
        """Run one command that a server knows by itself; its second word is its key."""
        return await self._route(
            command[1], lambda pipe, asking: pipe.call(*command, lasting=lasting, asking=asking)
        )

    async def run(self, script: Script, keys: Sequence[Value], *args: Value) -> Reply:
        """Run one script."""
        return await self._route(
            keys[0], lambda pipe, asking: pipe.run(script, keys, *args, asking=asking)
        )

    async def everywhere(self, *command: Value) -> list[Reply]:
        """Run one command that has no key on every primary."""
        try:
            return await asyncio.gather(
                *(self._pipe(server).call(*command) for server in await self._primaries())
            )
        except StoreUnavailable:
            self._stale.set()
            raise

    async def probe(self, within_s: float) -> list[str]:
        """Return of each primary why it does not serve; nothing of one that does.

        A cluster that is not whole refuses what has a key, and answers what has none.
        """
        try:
            primaries = await self._primaries()
        except StoreUnavailable as error:
            return [error.metadata["cause"]]
        causes = await asyncio.gather(
            *(self._refusal(server, mark, within_s) for server, mark in primaries.items())
        )
        if any(causes):
            self._stale.set()
        return causes

    async def serve(self) -> None:
        """Carry commands, and follow the slots wherever they go, until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            while True:
                await self._stale.wait()
                self._stale.clear()
                await self._look()
                self._looked.set()
                self._looked = asyncio.Event()
                await asyncio.sleep(_LOOK_PAUSE_S)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AbstractConnection]:
        """Hold a connection to any server, another one each time; all hear all announcements."""
        server = self._servers[0]
        self._servers.rotate(-1)
        async with self._at(server).connect() as connection:
            yield connection

    async def _route(self, about: Value, send: _Send) -> Reply:
        slot = key_slot(about if isinstance(about, bytes) else str(about).encode())
        server, asking = await self._owner(slot), False
        for pause_s in _PAUSES_S:
            try:
                return await send(self._pipe(server), asking)
            except Redirected as error:
                last = error
            except StoreUnavailable:
                self._stale.set()
                raise
            await asyncio.sleep(pause_s)
            match last.answer:
                case MovedError() as moved:
                    server, asking = _target(moved, server), False
                    self._owners[slot] = server
                    self._stale.set()
                case AskError() as elsewhere:
                    server, asking = _target(elsewhere, server), True
                case _:
                    self._stale.set()
                    server, asking = await self._owner(slot), False
        raise last

    async def _primaries(self) -> dict[Server, str]:
        """Return all primaries that hold a partition, each with a key that belongs to it."""
        if not any(self._owners):
            await self._owner(0)
        found: dict[Server, str] = {}
        for mark in _MARKS:
            owner = self._owners[key_slot(mark.encode())]
            if owner is not None:
                found.setdefault(owner, mark)
        return found

    async def _refusal(self, server: Server, mark: str, within_s: float) -> str:
        pipe = self._pipe(server)
        return await probe(pipe.call("PING"), self._look_up(pipe, mark), within_s=within_s)

    async def _look_up(self, pipe: Pipe, mark: str) -> None:
        try:
            await pipe.call("EXISTS", mark)
        except Redirected as error:
            if isinstance(error.answer, ClusterDownError):
                raise
            self._stale.set()  # it answers, and only holds something else by now

    async def _owner(self, slot: int) -> Server:
        if self._owners[slot] is None:
            self._stale.set()
            await wait_for(self._looked, _LOOK_S)
        owner = self._owners[slot]
        if owner is None:
            raise StoreUnavailable("no server of the cluster is known to hold what is asked for")
        return owner

    def _pipe(self, server: Server) -> Pipe:
        if server not in self._pipes:
            if self._tasks is None:
                raise StoreUnavailable("the service is stopping")
            pipe = self._open_pipe(self._at(server))
            self._pipes[server] = pipe, self._tasks.create_task(pipe.serve())
        return self._pipes[server][0]

    async def _look(self) -> None:
        """Learn the map from the first server that tells it."""
        for _ in range(len(self._servers)):
            asked = self._servers[0]
            try:
                async with self.connect() as connection:
                    shards = await ask(connection, "CLUSTER", "SLOTS")
            except (RedisError, OSError, TimeoutError) as error:
                cause = type(error).__name__
                self._log.warning("cluster server not reached", server=str(asked), cause=cause)
            else:
                self._learn(shards, asked)
                return

    def _learn(self, shards: Reply, asked: Server) -> None:
        owners: list[Server | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        known: dict[Server, None] = {}
        for first, last, *holders in shards:
            # A server that does not know its own name is where we asked it.
            servers = [Server((h[0] or b"").decode() or asked.host, h[1]) for h in holders]
            owners[first : last + 1] = servers[:1] * (last - first + 1)
            known |= dict.fromkeys(servers)
        self._owners = owners
        self._servers = deque(dict.fromkeys((*known, *self._named)))
        for server in self._pipes.keys() - set(owners):
            _, task = self._pipes.pop(server)
            task.cancel()


def _target(answer: AskError, asked: Server) -> Server:
    return Server(answer.host or asked.host, answer.port)
