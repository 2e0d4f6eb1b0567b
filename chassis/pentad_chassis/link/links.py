"""All links to one peer: a replica each, opened when there is use for them."""

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import grpc

from pentad.chassis.v1.link_service_pb2 import ConnectResponse
from pentad.chassis.v1.link_service_pb2_grpc import LinkServiceStub
from pentad_chassis.link.session import Session
from pentad_chassis.metadata import Metadata
from pentad_chassis.telemetry import Telemetry
from pentad_chassis.waits import is_cancelled

if TYPE_CHECKING:
    from pentad.chassis.v1.link_service_pb2_grpc import LinkServiceAsyncStub

_HELLO_S = 2.0
_AGAIN_S = 0.2
"""After an attempt that failed; calls go by themselves meanwhile."""

_ANEW_S = 5.0
"""While there is use for them, all links are replaced within about this time, one by one.

gRPC's balancing decides where a new one leads. So new replicas are found.
"""

_AGE_S = 15.0
"""No link begins calls for longer, replaced or not: its connection ends within half a minute of
coming of age, and that leaves its last calls as long again."""

_DEAF_S = 60.0
"""Before a peer that does not know of links, or has none for us, is asked again."""

_REFUSALS = frozenset(
    {
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
    }
)


class Links:
    """Hands out links in turn. While there is none, calls go by themselves."""

    def __init__(
        self,
        peer: str,
        channel: grpc.aio.Channel,
        telemetry: Telemetry,
        metadata: Metadata = (),
    ) -> None:
        self._peer = peer
        self._metadata = metadata
        self._stub: LinkServiceAsyncStub = LinkServiceStub(channel)
        self._log = telemetry.log
        self._count = telemetry.metrics.links.labels(peer)
        self._used = asyncio.Event()
        self._missed = asyncio.Event()
        self._sessions: list[Session] = []
        self._turn = 0

    def pick(self) -> Session | None:
        """Return the next link that would send a call soon, if there is one."""
        self._used.set()
        if not self._sessions:
            self._missed.set()
        for _ in self._sessions:
            self._turn = (self._turn + 1) % len(self._sessions)
            session = self._sessions[self._turn]
            if not session.is_crowded:
                return session
        return None

    async def keep(self) -> None:
        """Open links as long as somebody uses them; never returns."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._used.wait()
                self._used.clear()
                pause_s = await self._open(tasks)
                if not self._sessions:
                    await asyncio.sleep(pause_s)
                    continue
                self._missed.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._missed.wait()

    async def _open(self, tasks: asyncio.TaskGroup) -> float:
        """Open a link; return how long to wait before the next."""
        stream = self._stub.Connect(metadata=self._metadata)
        try:
            async with asyncio.timeout(_HELLO_S):
                hello = await stream.read()
        except TimeoutError:
            return _AGAIN_S
        except grpc.aio.AioRpcError as error:
            if is_cancelled():
                raise asyncio.CancelledError from error
            return _DEAF_S if error.code() in _REFUSALS else _AGAIN_S
        if not isinstance(hello, ConnectResponse) or hello.go_away:
            stream.cancel()
            return _AGAIN_S
        before = [s for s in self._sessions if s.instance == hello.instance]
        session = Session(stream, self._peer, hello.instance)
        self._sessions.append(session)
        self._count.inc()
        tasks.create_task(self._run(session))
        for other in before:
            self._leave(other)
        return _ANEW_S / len(self._sessions) if before else 0.0

    async def _run(self, session: Session) -> None:
        leave = partial(self._leave, session)
        aging = asyncio.get_running_loop().call_later(_AGE_S, leave)
        try:
            await session.run(leave)
        except Exception:  # noqa: BLE001 - one link's defect is not to end the others
            self._log.exception("link failed by a defect", peer=self._peer)
        finally:
            aging.cancel()

    def _leave(self, session: Session) -> None:
        """Begin no more calls on a link."""
        if session in self._sessions:
            self._sessions.remove(session)
            self._count.dec()
            session.retire()
