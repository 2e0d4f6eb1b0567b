"""Many callers' commands in one round trip.

While one batch is on its way, what callers ask for piles up and leaves together, so that the cost
of a round trip, and of the engine's write to disk, is shared by all who wait.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError, RedisError

from pentad_chassis.failpoints import failpoint
from pentad_chassis.telemetry import Telemetry
from pentad_state.connection import Backoff, Endpoint
from pentad_state.errors import StoreUnavailable
from pentad_state.exchange import Command, Copies, exchange, packed
from pentad_state.metrics import StateMetrics
from pentad_state.probes import probe
from pentad_state.store import Reply, Script, Value

_COMMANDS_MAX = 20_000
_BYTES_MAX = 64 * 1024 * 1024
_BATCH_COMMANDS = 1000
_BATCH_BYTES = 4 * 1024 * 1024
_ASKING = packed("ASKING")


class Pipe:
    """One server of the store, over one connection that is made again whenever it is lost.

    A command whose reply was lost fails with StoreUnavailable, whether it was carried out or not;
    scripts are written so that a caller may repeat them.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        reply_s: float,
        telemetry: Telemetry,
        metrics: StateMetrics,
        copies: Copies | None = None,
        on_silence: Callable[[], None] = lambda: None,
    ) -> None:
        self._endpoint = endpoint
        self._reply_s = reply_s + (copies.wait_s if copies else 0)
        self._copies = copies
        self._log = telemetry.log
        self._metrics = metrics
        self._on_silence = on_silence
        self._waiting: deque[Command] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Commands that have not left."""
        return len(self._waiting)

    async def call(self, *command: Value, lasting: bool = False, asking: bool = False) -> Reply:
        """Run one command that a server knows by itself."""
        mark = _mark_beside(command[1]) if self._copies and lasting else ""
        return await self._enqueue(packed(*command), asking=asking, mark=mark)

    async def run(
        self, script: Script, keys: Sequence[Value], *args: Value, asking: bool = False
    ) -> Reply:
        """Run one script, on a slot that is still on its way here if it is asked to."""
        await failpoint(f"state.{script.name}.before")
        mark = _mark_beside(keys[0]) if self._copies and script.is_lasting else ""
        rest = (len(keys), *keys, *args)
        by_name = packed("EVALSHA", script.sha, *rest)
        try:
            reply = await self._enqueue(by_name, asking=asking, mark=mark)
        except NoScriptError:
            # A fresh engine does not know it yet; this teaches it.
            whole = packed("EVAL", script.source, *rest)
            reply = await self._enqueue(whole, asking=asking, mark=mark)
        await failpoint(f"state.{script.name}.after")
        return reply

    async def everywhere(self, *command: Value) -> list[Reply]:
        """Run one command on the only server that there is."""
        return [await self.call(*command)]

    async def probe(self, within_s: float) -> list[str]:
        """Return why the only server does not serve, or nothing if it does."""
        return [await probe(self.call("PING"), within_s=within_s)]

    async def serve(self) -> None:
        """Carry commands until cancelled."""
        backoff = Backoff()
        try:
            while True:
                await self._wake.wait()
                await backoff.wait()
                await self._serve_one(backoff)
        finally:
            self._fail_waiting("its connection is closed")

    async def _serve_one(self, backoff: Backoff) -> None:
        open_ = False
        try:
            async with self._endpoint.connect() as connection:
                open_ = True
                backoff.succeeded()
                await self._carry(connection)
        except (RedisError, OSError, TimeoutError) as error:
            cause = type(error).__name__
            self._log.warning(
                "store connection lost" if open_ else "store not reached", cause=cause
            )
            if open_ and isinstance(error, TimeoutError):
                self._on_silence()
            if not open_:
                # What waits behind a lost connection may find the next one; behind none, nothing.
                self._fail_waiting(f"it cannot be reached ({cause})")

    def _enqueue(self, sent: bytes, *, asking: bool, mark: str = "") -> asyncio.Future[Reply]:
        if asking:
            sent = _ASKING + sent
        if len(self._waiting) >= _COMMANDS_MAX or self._bytes + len(sent) > _BYTES_MAX:
            raise StoreUnavailable("too many commands wait for it")
        command = Command(sent, asyncio.get_running_loop().create_future(), asking, mark)
        self._waiting.append(command)
        self._bytes += len(sent)
        self._wake.set()
        return command.reply

    async def _carry(self, connection: AbstractConnection) -> None:
        while True:
            await self._wake.wait()
            batch = self._take()
            try:
                begun = time.monotonic()
                async with asyncio.timeout(self._reply_s):
                    await exchange(connection, batch, self._copies)
                self._metrics.exchanged(len(batch), time.monotonic() - begun)
            finally:
                for command in batch:
                    command.fail(StoreUnavailable("the connection was lost"))

    def _take(self) -> list[Command]:
        """Return what is to leave together; a caller that left takes its command with it."""
        batch: list[Command] = []
        size = 0
        while self._waiting and len(batch) < _BATCH_COMMANDS and size < _BATCH_BYTES:
            command = self._waiting.popleft()
            self._bytes -= len(command.packed)
            if not command.reply.done():
                batch.append(command)
                size += len(command.packed)
        if not self._waiting:
            self._wake.clear()
        return batch

    def _fail_waiting(self, cause: str) -> None:
        while self._waiting:
            self._waiting.popleft().fail(StoreUnavailable(cause))
        self._bytes = 0
        self._wake.clear()


def _mark_beside(key: Value) -> str:
    """Return a key of the same slot, for a write that says nothing."""
    return f"{str(key).partition('}')[0]}}}:mark"
