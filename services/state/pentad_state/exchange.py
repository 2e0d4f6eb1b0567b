"""One batch of commands on one connection, and what each of its answers means."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import (
    AskError,
    ClusterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

from pentad_state.errors import DurabilityNotReached, StoreUnavailable
from pentad_state.store import Reply, Value

_REFUSALS = (ReadOnlyError, OutOfMemoryError, NoPermissionError)
"""What a server says when it is the server, and not the command, that something is wrong with."""

_REFUSAL_WORDS = ("MISCONF", "BUSY ", "-OOM", "-READONLY", "-MISCONF")
"""The same, where it has no class of its own or happened inside of a script."""


class Redirected(StoreUnavailable):
    """The server did nothing, for it has not the slot, or not all of it, or not now."""

    def __init__(self, answer: ResponseError) -> None:
        super().__init__(str(answer))
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Copies:
    """How many replicas are to have what was written, and how long they may take."""

    replicas: int
    wait_s: float


@dataclass(slots=True, eq=False)  # not frozen: that triples the price of making one
class Command:
    """What one caller asks, and where the answer goes."""

    packed: bytes
    reply: asyncio.Future[Reply]
    asking: bool = False
    """It begins with ASKING, which has an answer of its own."""
    mark: str = ""
    """It is to be on replicas before it is answered. A key beside its own that may be written."""

    def fail(self, error: Exception) -> None:
        """Give the caller an error, if it still waits."""
        if not self.reply.done():
            self.reply.set_exception(error)

    def succeed(self, reply: Reply) -> None:
        """Give the caller its answer, if it still waits."""
        if not self.reply.done():
            self.reply.set_result(reply)


def packed(*command: Value) -> bytes:
    """Return a command as it is sent."""
    sent: bytes = hiredis.pack_command(command)  # type: ignore[arg-type] # its stub means "..."
    return sent


async def exchange(
    connection: AbstractConnection, batch: Sequence[Command], copies: Copies | None
) -> None:
    """Write all commands, then hand each reply to its caller, in order."""
    sent = [command.packed for command in batch]
    mark = next((c.mark for c in batch if c.mark), "") if copies else ""
    if copies and mark:
        # WAIT waits for what its own connection wrote. A repeated call may have found all done by
        # a connection that was lost; behind a write of our own, all that it saw is waited for.
        sent.append(packed("SET", mark, ""))
        sent.append(packed("WAIT", copies.replicas, int(copies.wait_s * 1000)))
    await connection.send_packed_command(sent, check_health=False)
    moved = False
    held: list[tuple[Command, Reply]] = []
    for command in batch:
        if command.asking:
            await _answer(connection)
        try:
            reply = await connection.read_response(timeout=math.inf, disconnect_on_error=False)
        except ResponseError as error:
            command.fail(_failure(error))
            moved = moved or _is_of_replica(error)
        else:
            if command.mark:
                held.append((command, reply))
            else:
                command.succeed(reply)
    if copies and mark:
        moved = not await _confirm(connection, held, copies) or moved
    if moved:
        # A replica answers where the primary was, or a primary that its replicas have left: the
        # address may by now lead to the new one.
        raise ConnectionError


async def _confirm(
    connection: AbstractConnection, held: Sequence[tuple[Command, Reply]], copies: Copies
) -> bool:
    """Hand out the replies that replicas had to be waited for; return whether there were enough."""
    answers = [await _answer(connection) for _ in ("SET", "WAIT")]
    errors = [str(answer) for answer in answers if isinstance(answer, ResponseError)]
    reached = 0 if errors else int(answers[-1])
    if reached >= copies.replicas:
        for command, reply in held:
            command.succeed(reply)
        return True
    cause = errors[0] if errors else f"{reached} of {copies.replicas} replicas have it"
    for command, _ in held:
        command.fail(DurabilityNotReached(cause))
    return False


async def _answer(connection: AbstractConnection) -> Reply:
    """Return the next answer, be it an error."""
    try:
        return await connection.read_response(timeout=math.inf, disconnect_on_error=False)
    except ResponseError as error:
        return error


def _is_of_replica(error: ResponseError) -> bool:
    return isinstance(error, ReadOnlyError) or "-READONLY" in str(error)


def _failure(error: ResponseError) -> Exception:
    text = str(error)
    if isinstance(error, (AskError, TryAgainError, ClusterDownError)):
        return Redirected(error)
    if "NOREPLICAS" in text:
        return DurabilityNotReached("fewer replicas are there than min-replicas-to-write")
    if isinstance(error, _REFUSALS) or any(word in text for word in _REFUSAL_WORDS):
        return StoreUnavailable(text)
    return error
