"""What the store announces: work, cancels and growing journals, heard over one connection."""

from collections.abc import Mapping
from typing import Protocol

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from pentad_chassis.telemetry import Telemetry
from pentad_state.connection import Backoff, Endpoint
from pentad_state.partitions import channel

_SILENCE_S = 2.0
"""After this long without a word the store is asked for one; after twice as long it is lost."""


class Listener(Protocol):
    """Is told what one channel says."""

    def heard(self, message: bytes) -> None:
        """Take note of a message; must not wait."""
        ...

    def missed(self) -> None:
        """Take note that any number of messages may have been lost."""
        ...


class Signals:
    """Hears announcements. They may be lost: whoever waits for one also looks by itself."""

    def __init__(
        self, endpoint: Endpoint, listeners: Mapping[str, Listener], telemetry: Telemetry
    ) -> None:
        self._endpoint = endpoint
        self._listeners = {channel(n).encode(): listener for n, listener in listeners.items()}
        self._log = telemetry.log

    async def serve(self) -> None:
        """Hear until cancelled, over a new connection whenever one is lost."""
        backoff = Backoff()
        while True:
            await backoff.wait()
            try:
                async with self._endpoint.connect() as connection:
                    await connection.send_command("SUBSCRIBE", *self._listeners)
                    await self._hear(connection, backoff)
            except (RedisError, OSError, TimeoutError) as error:
                self._log.warning("announcements lost", cause=type(error).__name__)

    async def _hear(self, connection: AbstractConnection, backoff: Backoff) -> None:
        asked = False
        while True:
            reply = await connection.read_response(timeout=_SILENCE_S, disconnect_on_error=False)
            if reply is None:
                if asked:
                    raise TimeoutError
                asked = True
                await connection.send_command("PING", check_health=False)
                continue
            asked = False
            backoff.succeeded()
            self._dispatch(reply)

    def _dispatch(self, reply: list[bytes]) -> None:
        match reply:
            case [b"message", name, message]:
                self._listeners[name].heard(message)
            case [b"subscribe", name, _]:
                # Whatever was said before this moment was said to nobody.
                self._listeners[name].missed()
            case _:
                pass  # the answer to a PING
