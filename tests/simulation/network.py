"""The network between simulated processes: slow, lossy, and never the same twice.

Real stubs call through real hops; what a hop calls is here, in the place of gRPC. A request or
its answer may be lost, come late, or come twice; the caller then sees what gRPC would show it. All
chance is drawn by what a call is about, so that a seed means the same whatever else is going on.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass
from random import Random
from typing import Any

import grpc
from simulation.loop import Process, VirtualLoop, current
from simulation.wire import Call, Delivery, Wire

from pentad_chassis.breaker import Breaker, BreakerPolicy
from pentad_chassis.channel import _Channel
from pentad_chassis.clock import SystemClock
from pentad_chassis.config import Settings
from pentad_chassis.hop import Hop
from pentad_chassis.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Weather:
    """What may happen to a call, as chances."""

    lost: float = 0.0
    """The request does not arrive."""
    unanswered: float = 0.0
    """The request is carried out, and its answer does not arrive."""
    late: float = 0.0
    """The caller sees a failure, and the request arrives afterwards."""
    twice: float = 0.0
    """The request arrives once more, later."""
    silent: float = 0.0
    """What is lost is lost in silence: the caller waits as long as it likes."""
    late_s: float = 6.0
    slow_s: float = 0.02
    """Mean of the time on the way."""


CALM = Weather()


class Server:
    """One replica's handlers, as generated code registers them."""

    def __init__(self, process: Process | None) -> None:
        self.process = process
        self.handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        self.open = True
        self.in_hand: dict[Delivery, asyncio.Task[None]] = {}

    @property
    def reachable(self) -> bool:
        return self.open and (self.process is None or self.process.alive)

    def add_generic_rpc_handlers(self, _: object) -> None:
        """Generated code says everything twice."""

    def add_registered_method_handlers(
        self, service: str, handlers: "dict[str, grpc.RpcMethodHandler[Any, Any]]"
    ) -> None:
        """Serve a service; called by generated code."""
        self.handlers.update({f"/{service}/{name}": each for name, each in handlers.items()})


class Network:
    """Brings requests to servers and answers back."""

    def __init__(self, loop: VirtualLoop, seed: int) -> None:
        self.loop = loop
        self.weather = CALM
        self.cut: set[str] = set()
        """Addresses that nobody reaches."""
        self.defects: list[str] = []
        """Exceptions that no service should let out."""
        self._seed = seed
        self._servers: defaultdict[str, list[Server]] = defaultdict(list)
        self._calls: dict[Call, None] = {}
        self._counts: Counter[str] = Counter()

    @asynccontextmanager
    async def open_channel(
        self, peer: str, address: str, config: Settings, telemetry: Telemetry, **_: Any
    ) -> AsyncIterator[grpc.aio.Channel]:
        """Stand in for the chassis' function: the same hop over this network."""
        breaker = Breaker(peer, SystemClock(), BreakerPolicy(reset_s=config.breaker_reset_s))
        wire: Any = Wire(self, address)  # as much of a channel as is used
        yield _Channel(wire, Hop(peer, breaker, telemetry), wire)

    @asynccontextmanager
    async def serving(
        self,
        config: Settings,
        telemetry: Telemetry,
        services: Sequence[Callable[[Any], None]],
        **_: Any,
    ) -> AsyncIterator[None]:
        """Stand in for the chassis' function: serve in the current process, then drain."""
        server = self.listen(config.address, current(), *services)
        try:
            yield
        finally:
            server.open = False
            if server.in_hand:
                await asyncio.wait(server.in_hand.values(), timeout=config.drain_grace_s)
            for task in list(server.in_hand.values()):
                task.cancel()

    def listen(
        self, address: str, process: Process | None, *services: Callable[[Any], None]
    ) -> Server:
        """Serve at an address beside whoever is there."""
        server = Server(process)
        for add in services:
            add(server)
        self._servers[address].append(server)
        return server

    def died(self, process: Process) -> None:
        """Cut a process off: some of its peers notice, others wait in vain."""
        chance = self.chance("died", process.name)
        for servers in self._servers.values():
            for server in [s for s in servers if s.process is process]:
                servers.remove(server)
                for delivery in list(server.in_hand):
                    if chance.random() >= self.weather.silent:
                        delivery.fail(chance.expovariate(1 / self.weather.slow_s))
        for call in [c for c in self._calls if c.caller is process]:
            if chance.random() < 0.7:
                call.leave()
            self._calls.pop(call, None)

    def chance(self, *of: object) -> Random:
        """Return the chance of one thing, which no other thing disturbs."""
        return Random(f"{self._seed}/{'/'.join(map(str, of))}")  # noqa: S311 - it decides what happens in a test

    def next_chance(self, *of: object) -> Random:
        """Return the chance of something that happens again and again."""
        name = "/".join(map(str, of))
        self._counts[name] += 1
        return self.chance(name, self._counts[name])

    def later(self, delay_s: float, do: Callable[..., Any], *arguments: Any) -> None:
        """Do something in nobody's name."""
        self.loop.call_later(delay_s, do, *arguments, context=Context())

    def find(self, address: str, chance: Random) -> Server | None:
        """Return one of the replicas at an address."""
        servers = [s for s in self._servers[address] if s.reachable]
        return chance.choice(servers) if servers else None

    def opened(self, call: Call) -> None:
        """Note a call, until it is over."""
        self._calls[call] = None

    def over(self, call: Call) -> None:
        """Forget a call."""
        self._calls.pop(call, None)
