"""All links to one peer: a replica each, opened when there is use for them."""

import asyncio
from typing import TYPE_CHECKING

import grpc

from pentad.chassis.v1.link_service_pb2 import ConnectResponse
from pentad.chassis.v1.link_service_pb2_grpc import LinkServiceStub
from pentad_chassis.link.session import Session
from pentad_chassis.metrics import Metrics

if TYPE_CHECKING:
    from pentad.chassis.v1.link_service_pb2_grpc import LinkServiceAsyncStub

_HELLO_S = 2.0
_AGAIN_S = 0.2
"""After an attempt that failed; calls go by themselves meanwhile."""

_ANEW_S = 5.0
"""While there is use for them, a link is replaced this often, each in its turn.

gRPC's balancing decides where the new one leads. So new replicas are found, and no link is on a
connection that has come of age when that is cut off.
"""

_DEAF_S = 60.0
"""Before a peer that does not know of links is asked again."""


class Links:
    """Hands out links in turn. While there is none, calls go by themselves."""

    def __init__(self, peer: str, channel: grpc.aio.Channel, metrics: Metrics) -> None:
        self._peer = peer
        self._stub: LinkServiceAsyncStub = LinkServiceStub(channel)
        self._used = asyncio.Event()
        self._sessions: list[Session] = []
        self._turn = 0
        metrics.links.labels(peer).set_function(lambda: len(self._sessions))

    def pick(self) -> Session | None:
        """Return the next link that is open, if there is one."""
        if not self._used.is_set():
            self._used.set()
        for _ in self._sessions:
            self._turn = (self._turn + 1) % len(self._sessions)
            session = self._sessions[self._turn]
            if session.is_open:
                return session
        return None

    async def keep(self) -> None:
        """Open links as long as somebody uses them; never returns."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._used.wait()
                self._used.clear()
                await asyncio.sleep(await self._open(tasks))

    async def _open(self, tasks: asyncio.TaskGroup) -> float:
        """Open a link; return how long to wait before the next."""
        stream = self._stub.Connect()
        try:
            async with asyncio.timeout(_HELLO_S):
                hello = await stream.read()
        except grpc.aio.AioRpcError as error:
            return _DEAF_S if error.code() is grpc.StatusCode.UNIMPLEMENTED else _AGAIN_S
        except TimeoutError:
            hello = grpc.aio.EOF
        if not isinstance(hello, ConnectResponse):
            stream.cancel()
            return _AGAIN_S
        session = Session(stream, self._peer, hello.instance)
        before = [s for s in self._sessions if s.instance == session.instance]
        self._sessions.append(session)
        tasks.create_task(self._run(session))
        for other in before:
            self._sessions.remove(other)
            other.retire()
        return _ANEW_S if before else 0.0

    async def _run(self, session: Session) -> None:
        try:
            await session.run()
        finally:
            if session in self._sessions:
                self._sessions.remove(session)
