"""A call on its way: what hops and stubs take for gRPC, and what really becomes of it."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import Context
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

import grpc
from simulation.loop import current, current_name

from pentad_chassis import calls, policy
from pentad_chassis.errors import BY_CODE, DeadlineExceeded, ServiceError, Unavailable

if TYPE_CHECKING:
    from simulation.network import Network, Server

_INSTANT_S = 1e-6


class Wire:
    """What hops and stubs take for a gRPC channel."""

    def __init__(self, network: "Network", address: str) -> None:
        self._network = network
        self._address = address

    def unary_unary(
        self, method: str, request_serializer: Any, response_deserializer: Any, **_: Any
    ) -> Any:
        async def call(request: Any, *, timeout: float, **_: Any) -> Any:
            made = Call(self._network, self._address, method, timeout)
            return response_deserializer(await made.one(request))

        return call

    def unary_stream(
        self, method: str, request_serializer: Any, response_deserializer: Any, **_: Any
    ) -> Any:
        def call(request: Any, *, timeout: float, **_: Any) -> "_Stream":
            made = Call(self._network, self._address, method, timeout)
            return _Stream(made, request, response_deserializer)

        return call


class Call:
    """One attempt of one caller at one call."""

    def __init__(self, network: "Network", address: str, method: str, timeout_s: float) -> None:
        self.network = network
        self.address = address
        self.method = method
        self.timeout_s = timeout_s
        self.ends_at_s = network.loop.time() + timeout_s
        self.caller = None if current_name() == "outside" else current()
        self._deliveries: list[Delivery] = []
        self._arrived: deque[bytes | BaseException] = deque()
        self._last_s = 0.0
        self._some = asyncio.Event()
        self._over = False

    async def one(self, request: Any) -> bytes:
        """Return the answer of a unary call."""
        self.send(request)
        try:
            answer = await self.next()
        finally:
            self.leave()
        return answer

    def send(self, request: Any) -> None:
        """Put the request on its way, to whatever fate."""
        self.network.opened(self)
        data = request.SerializeToString()
        weather = self.network.weather
        name = self.method.rpartition("/")[2]
        self.chance = self.network.next_chance(current_name(), name, subject(request))
        away_s = self._on_the_way()
        if self.address in self.network.cut:
            self._lose(away_s)
            return
        fate = self.chance.random()
        if fate < weather.lost:
            self._lose(away_s)
        elif fate < weather.lost + weather.late:
            self._lose(away_s)
            self._deliver(
                data, away_s + self.chance.uniform(0, weather.late_s), _Fate.HEARD_BY_NOBODY
            )
        else:
            answered = self.chance.random() >= weather.unanswered
            self._deliver(data, away_s, _Fate.ANSWERED if answered else _Fate.ANSWER_LOST)
            if not calls.is_unrepeated() and self.chance.random() < weather.twice:
                again_s = away_s + self.chance.uniform(0, weather.late_s)
                self._deliver(data, again_s, _Fate.HEARD_BY_NOBODY)

    async def next(self) -> bytes:
        """Return what arrives next, as gRPC shows it."""
        try:
            async with asyncio.timeout_at(self.ends_at_s):
                while not self._arrived:
                    self._some.clear()
                    await self._some.wait()
        except TimeoutError:
            raise silence(DeadlineExceeded, "no answer in time") from None
        arrived = self._arrived.popleft()
        if isinstance(arrived, BaseException):
            raise arrived
        return arrived

    def leave(self) -> None:
        """Tell the servers, sooner or later, that nobody waits any more."""
        if self._over:
            return
        self._over = True
        self.network.over(self)
        for delivery in self._deliveries:
            if delivery.fate is not _Fate.HEARD_BY_NOBODY and not delivery.done:
                self.network.later(self._on_the_way(), delivery.cancel)

    def arrive(self, what: bytes | BaseException, after_s: float | None = None) -> None:
        """Have an answer arrive, behind those before it."""
        delay_s = self._on_the_way() if after_s is None else after_s
        # Of timers for one moment the loop may take any first.
        self._last_s = max(self._last_s + _INSTANT_S, self.network.loop.time() + delay_s)
        self.network.loop.call_at(self._last_s, self._take, what, context=Context())

    def _take(self, what: bytes | BaseException) -> None:
        self._arrived.append(what)
        self._some.set()

    def _lose(self, after_s: float) -> None:
        if self.chance.random() >= self.network.weather.silent:
            self.arrive(silence(Unavailable, "connection lost"), after_s)

    def _deliver(self, data: bytes, after_s: float, fate: "_Fate") -> None:
        delivery = Delivery(self, data, fate)
        self._deliveries.append(delivery)
        self.network.later(after_s, delivery.begin)

    def _on_the_way(self) -> float:
        return 0.0005 + self.chance.expovariate(1 / self.network.weather.slow_s)


class _Fate(Enum):
    """What becomes of what a delivery brings about."""

    ANSWERED = auto()
    ANSWER_LOST = auto()
    HEARD_BY_NOBODY = auto()


class Delivery:
    """A request at a server."""

    def __init__(self, call: Call, data: bytes, fate: _Fate) -> None:
        self.call = call
        self.fate = fate
        self.done = False
        self._data = data
        self._left = False
        self._server: Server | None = None

    def begin(self) -> None:
        """Have a replica serve the request."""
        network = self.call.network
        if self._left:
            return
        server = self._server = network.find(self.call.address, self.call.chance)
        if server is None:
            self.fail(0.0)
            return
        context = Context() if server.process is None else server.process.context.copy()
        server.in_hand[self] = network.loop.create_task(self._serve(server), context=context)

    def cancel(self) -> None:
        """The caller left."""
        self._left = True
        if self._server is not None and (task := self._server.in_hand.get(self)):
            task.cancel()

    def fail(self, after_s: float) -> None:
        """The connection to the server is lost."""
        if self.fate is not _Fate.HEARD_BY_NOBODY:
            self.call.arrive(silence(Unavailable, "connection lost"), after_s)

    async def _serve(self, server: "Server") -> None:
        try:
            await self._handle(server.handlers[self.call.method])
        except ServiceError as error:
            self._answer(crossed(error))
        except asyncio.CancelledError:
            raise
        except Exception as defect:
            self.call.network.defects.append(f"{self.call.method}: {defect!r}")
            raise
        finally:
            self.done = True
            server.in_hand.pop(self, None)

    async def _handle(self, handler: Any) -> None:
        timeout_s = self.call.timeout_s
        calls.begin(timeout_s - policy.trim(timeout_s))
        request = handler.request_deserializer(self._data)
        if handler.unary_unary is not None:
            response = await handler.unary_unary(request, None)
            self._answer(response.SerializeToString())
            return
        async for response in handler.unary_stream(request, None):
            self._answer(response.SerializeToString())
        self._answer(_END)

    def _answer(self, what: bytes | BaseException) -> None:
        if self.fate is _Fate.ANSWERED:
            self.call.arrive(what)
        elif self.fate is _Fate.ANSWER_LOST:
            self.call.arrive(silence(Unavailable, "connection lost"))


class _End(Exception):
    """Nothing more arrives on a stream."""


_END = _End()


class _Stream:
    """What a hop takes for a gRPC stream."""

    def __init__(self, call: Call, request: Any, deserialize: Callable[[bytes], Any]) -> None:
        self._call = call
        self._request: Any = request
        self._deserialize = deserialize

    async def read(self) -> Any:
        if self._request is not None:
            request, self._request = self._request, None
            self._call.send(request)
        try:
            return self._deserialize(await self._call.next())
        except _End:
            return grpc.aio.EOF

    def cancel(self) -> bool:
        if self._request is None:
            self._call.leave()
        return True


def silence(kind: type[ServiceError], message: str) -> ServiceError:
    """Return what a caller's own transport makes of a peer that says nothing."""
    error = kind(message)
    error.unsaid = True
    return error


def crossed(error: ServiceError) -> ServiceError:
    """Return an error as it is on the other side of a hop."""
    found = BY_CODE[error.code](error.message, **error.metadata)
    found.reason = error.reason
    found.retry_after_s = error.retry_after_s
    found.retried = error.retried
    return found


def subject(request: Any) -> str:
    """Return what a request is about."""
    return "/".join(_names(request))


def _names(request: Any) -> Iterator[str]:
    fields = request.DESCRIPTOR.fields_by_name
    for inner in ("lease", "key"):
        if inner in fields:
            yield from _names(getattr(request, inner))
    for name in ("run_id", "request_id", "call_id", "turn"):
        if name in fields:
            yield str(getattr(request, name))
