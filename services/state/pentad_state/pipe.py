"""Many callers' commands in one round trip.

While one batch is on its way, what callers ask for piles up and leaves together, so that the cost
of a round trip, and of the engine's write to disk, is shared by all who wait.
"""

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import (
    ClusterDownError,
    MasterDownError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from pentad_chassis.telemetry import Telemetry
from pentad_state.connection import Address, Backoff
from pentad_state.errors import StoreUnavailable
from pentad_state.store import Reply, Script, Value

_COMMANDS_MAX = 20_000
_BYTES_MAX = 64 * 1024 * 1024
_BATCH_COMMANDS = 1000
_BATCH_BYTES = 4 * 1024 * 1024

_REFUSALS = (
    ReadOnlyError,
    OutOfMemoryError,
    NoPermissionError,
    ClusterDownError,
    MasterDownError,
    TryAgainError,
)
"""What a server says when it is the server, and not the command, that something is wrong with."""

_REFUSAL_WORDS = ("MISCONF", "NOREPLICAS", "BUSY ", "-OOM", "-READONLY", "-MISCONF")
"""The same, where it has no class of its own or happened inside of a script."""


@dataclass(frozen=True, slots=True, eq=False)
class _Command:
    packed: bytes
    reply: asyncio.Future[Reply]

    def fail(self, error: Exception) -> None:
        if not self.reply.done():
            self.reply.set_exception(error)

    def succeed(self, reply: Reply) -> None:
        if not self.reply.done():
            self.reply.set_result(reply)


class Pipe:
    """The store over one connection, which is made again whenever it is lost.

    A command whose reply was lost fails with StoreUnavailable, whether it was carried out or not;
    scripts are written so that a caller may repeat them.
    """

    def __init__(self, address: Address, reply_s: float, telemetry: Telemetry) -> None:
        self._address = address
        self._reply_s = reply_s
        self._log = telemetry.log
        self._waiting: deque[_Command] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()

    async def call(self, *command: Value) -> Reply:
        """Run one command that a server knows by itself."""
        return await self._enqueue(_packed(command))

    async def run(self, script: Script, keys: Sequence[Value], *args: Value) -> Reply:
        """Run one script."""
        rest = (len(keys), *keys, *args)
        packed = _packed(("EVALSHA", script.sha, *rest))
        try:
            return await self._enqueue(packed)
        except NoScriptError:
            # A fresh engine does not know it yet; this teaches it.
            return await self._enqueue(_packed(("EVAL", script.source, *rest)))

    async def serve(self) -> None:
        """Carry commands until cancelled."""
        backoff = Backoff()
        try:
            while True:
                await self._wake.wait()
                await backoff.wait()
                await self._serve_one(backoff)
        finally:
            self._fail_waiting("the service is stopping")

    async def _serve_one(self, backoff: Backoff) -> None:
        open_ = False
        try:
            async with self._address.connect() as connection:
                open_ = True
                backoff.succeeded()
                await self._carry(connection)
        except (RedisError, OSError, TimeoutError) as error:
            cause = type(error).__name__
            self._log.warning(
                "store connection lost" if open_ else "store not reached", cause=cause
            )
            if not open_:
                # What waits behind a lost connection may find the next one; behind none, nothing.
                self._fail_waiting(f"it cannot be reached ({cause})")

    def _enqueue(self, packed: bytes) -> asyncio.Future[Reply]:
        if len(self._waiting) >= _COMMANDS_MAX or self._bytes + len(packed) > _BYTES_MAX:
            raise StoreUnavailable("too many commands wait for it")
        command = _Command(packed, asyncio.get_running_loop().create_future())
        self._waiting.append(command)
        self._bytes += len(packed)
        self._wake.set()
        return command.reply

    async def _carry(self, connection: AbstractConnection) -> None:
        while True:
            await self._wake.wait()
            batch = self._take()
            try:
                async with asyncio.timeout(self._reply_s):
                    await _exchange(connection, batch)
            finally:
                for command in batch:
                    command.fail(StoreUnavailable("the connection was lost"))

    def _take(self) -> list[_Command]:
        """Return what is to leave together; a caller that left takes its command with it."""
        batch: list[_Command] = []
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


async def _exchange(connection: AbstractConnection, batch: list[_Command]) -> None:
    """Write all commands, then hand each reply to its caller, in order."""
    await connection.send_packed_command([c.packed for c in batch], check_health=False)
    moved = False
    for command in batch:
        try:
            reply = await connection.read_response(timeout=math.inf, disconnect_on_error=False)
        except ResponseError as error:
            command.fail(StoreUnavailable(str(error)) if _is_refusal(error) else error)
            moved = moved or isinstance(error, ReadOnlyError)
        else:
            command.succeed(reply)
    if moved:
        # A replica answers where the primary was: the address may by now lead to the new one.
        raise ConnectionError


def _is_refusal(error: ResponseError) -> bool:
    text = str(error)
    return isinstance(error, _REFUSALS) or any(word in text for word in _REFUSAL_WORDS)


def _packed(command: tuple[Value, ...]) -> bytes:
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type] # its stub means "..."
    return packed
