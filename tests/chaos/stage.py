"""Five services in two replicas each, a store, and a fault proxy on nearly every way between.

The store is one engine, which each replica of the state service reaches by a way of its own; or
servers behind sentinels, whose primary falls.

Every process is one of its own and has one address for its life. Each caller reaches each replica
of a peer through a proxy of their own, so that one way can fail while all others are well.
"""

import asyncio
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from chaos.failover import Failover
from chaos.ledger import Ledger
from chaos.model import API_KEY, serving_model
from chaos.replica import Replica
from chaos.schedule import Targets
from harness.engines import Trio, binary_of, running_sentinels
from harness.faults import FaultProxy, open_proxy

SERVICES = ("state", "tools", "executor", "orchestrator", "gateway")
ENGINE = "engine"
PRIMARY = "primary of the store"
CLIENT = "client"
_EACH = 2
_FOLLOWERS = 1
"""Of the store's primary; all of them must have a write. With fewer, sentinels that lead two
failovers at once may leave a follower with one primary, and trust another."""

SILENCE_S = 2.0
"""Below the lease: a replica that says nothing is left out before its runs are taken from it."""

_CALLEES: Mapping[str, tuple[str, ...]] = {
    "state": (),
    "tools": ("state",),
    "executor": ("state",),
    "orchestrator": ("state", "executor", "tools"),
    "gateway": ("state", "orchestrator", "tools"),
}
_DIRECT = {("executor", "state"), ("gateway", "tools"), ("orchestrator", "executor")}
"""Ways without a proxy of each caller's own; executors are reached where they say they are."""

_PORTS = (20_000, 32_000)
"""Below those that the kernel gives out, or somebody could have one while its owner is dead."""

_PLUGIN = Path(__file__).with_name("plugin")
_OTHERS = ("PENTAD_", "OPENAI_", "ANTHROPIC_", "OTEL_")

_COMMON = {
    "BREAKER_RESET_S": "0.5",
    "MAX_LAG_S": "0.5",
    "DRAIN_GRACE_S": "2",
    "SILENCE_S": str(SILENCE_S),
}
_HOLD_S = 1.5
_REPLIES_A_LEASE = 3
"""A store that is silent is known as such well before a lease is over."""


@dataclass(frozen=True)
class Stage:
    """All that a run takes place on."""

    folder: Path
    lease_s: float
    replicas: Mapping[str, Replica]
    """By name; the engine is one of them, if the store is one."""

    hops: Mapping[str, FaultProxy]
    """By `CALLER>CALLEE`."""

    failover: Failover | None
    """Where the store is behind sentinels."""

    ledger: Ledger
    address: str
    """The public API, on both gateways."""

    key: str

    @property
    def targets(self) -> Targets:
        """What may be struck here."""
        services = tuple(name for name in self.replicas if name != ENGINE)
        behind_sentinels = self.failover is not None
        return Targets(
            services,
            engine="" if behind_sentinels else ENGINE,
            primary=PRIMARY if behind_sentinels else "",
            hops=tuple(self.hops),
        )

    def of(self, service: str) -> list[Replica]:
        """Return a service's replicas."""
        return [self.replicas[name] for name in _names(service)]

    async def heal(self) -> None:
        """Let all that still suffers be well again."""
        for proxy in self.hops.values():
            await proxy.heal()
        for replica in self.replicas.values():
            replica.go_on()


@asynccontextmanager
async def open_stage(
    folder: Path, lease_s: float, *, sentinels: bool = False
) -> AsyncIterator[Stage]:
    """Have it all run while the block runs; nothing of it is left afterwards but the folder."""
    ledger = Ledger(folder / "ledger")
    key = f"pentad_{secrets.token_urlsafe(32)}"
    ports = iter(_free_ports(_EACH * len(SERVICES)))
    addresses = {name: f"127.0.0.1:{next(ports)}" for s in SERVICES for name in _names(s)}
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(serving_model())
        trio = stack.enter_context(running_sentinels(_FOLLOWERS)) if sentinels else None
        hops = {}
        for hop, (target, listen) in _proxied(folder, addresses, sentinels=sentinels).items():
            hops[hop] = await stack.enter_async_context(open_proxy(target, listen))
        environment = {
            "CHAOS_LEDGER": str(ledger.folder),
            "PENTAD_GATEWAY_API_KEY": key,
            "PENTAD_EXECUTOR_OPENAI_BASE_URL": model,
            "PENTAD_EXECUTOR_OPENAI_API_KEY": API_KEY,
            **_timing(lease_s),
            **_store(trio),
        }
        replicas = {} if trio else {ENGINE: _engine(folder)}
        for service in SERVICES:
            for name in _names(service):
                own = {**environment, **_wiring(name, addresses, hops, folder)}
                replicas[name] = _service(service, name, own, folder)
        await stack.enter_async_context(_running(replicas.values()))
        address = _either(hops[f"{CLIENT}>{name}"].address for name in _names("gateway"))
        failover = Failover(trio) if trio else None
        yield Stage(folder, lease_s, replicas, hops, failover, ledger, address, key)


@asynccontextmanager
async def _running(replicas: Iterable[Replica]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        serving = [group.create_task(replica.serve()) for replica in replicas]
        try:
            yield
        finally:
            for task in serving:
                task.cancel()


def _names(service: str) -> list[str]:
    return [f"{service}{index}" for index in range(_EACH)]


def _service_of(name: str) -> str:
    return name.rstrip("0123456789")


def _proxied(
    folder: Path, addresses: Mapping[str, str], *, sentinels: bool
) -> dict[str, tuple[str, str]]:
    """Return, for each hop, where it leads and where its proxy listens."""
    anywhere = "127.0.0.1:0"
    hops = {f"{CLIENT}>{name}": (addresses[name], anywhere) for name in _names("gateway")}
    for name in _names("executor"):
        hops[f"orchestrators>{name}"] = (addresses[name], anywhere)
    # Sentinels say where the primary is, and know of no proxy.
    for name in () if sentinels else _names("state"):
        hops[f"{name}>{ENGINE}"] = (f"unix:{folder}/engine.sock", f"unix:{folder}/{name}.sock")
    for caller in addresses:
        for service in _CALLEES[_service_of(caller)]:
            if (_service_of(caller), service) not in _DIRECT:
                for callee in _names(service):
                    hops[f"{caller}>{callee}"] = (addresses[callee], anywhere)
    return hops


def _wiring(
    name: str, addresses: Mapping[str, str], hops: Mapping[str, FaultProxy], folder: Path
) -> dict[str, str]:
    """Return the settings that say where a replica is, and where its peers are."""
    service = _service_of(name)
    prefix = f"PENTAD_{service.upper()}_"

    def way(callee: str) -> str:
        proxy = hops.get(f"{name}>{callee}")
        return addresses[callee] if proxy is None else proxy.address

    own = {"ADDRESS": addresses[name], **_COMMON}
    for peer in _CALLEES[service]:
        own[f"{peer.upper()}_ADDRESS"] = _either(map(way, _names(peer)))
    if f"{name}>{ENGINE}" in hops:
        own["REDIS_URL"] = f"unix://{folder}/{name}.sock"
    if service == "executor":
        own["ADVERTISE_ADDRESS"] = hops[f"orchestrators>{name}"].address
    return {f"{prefix}{field}": value for field, value in own.items()}


def _store(trio: Trio | None) -> dict[str, str]:
    """Return the settings of a store of several servers: what one has alone is not acknowledged."""
    if trio is None:
        return {}
    return {
        "PENTAD_STATE_REDIS_URL": trio.url,
        "PENTAD_STATE_DURABILITY": "replicated",
        "PENTAD_STATE_REPLICAS": str(_FOLLOWERS),
    }


def _timing(lease_s: float) -> dict[str, str]:
    return {
        "PENTAD_STATE_REPLY_S": str(lease_s / _REPLIES_A_LEASE),
        "PENTAD_TOOLS_HOLD_S": str(_HOLD_S),
        "PENTAD_EXECUTOR_REGISTRATION_TTL_S": str(lease_s),
        "PENTAD_ORCHESTRATOR_LEASE_S": str(lease_s),
        "PENTAD_ORCHESTRATOR_EXECUTORS_POLL_S": "0.5",
        "PENTAD_ORCHESTRATOR_RETRY_S_MAX": "2",
    }


def _service(service: str, name: str, own: Mapping[str, str], folder: Path) -> Replica:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(_OTHERS)}
    path = os.pathsep.join([str(_PLUGIN), os.environ.get("PYTHONPATH", "")])
    environment = {**inherited, "PYTHONPATH": path, **own}
    command = [sys.executable, "-m", f"pentad_{service}"]
    return Replica(name, command, environment, folder / f"{name}.log")


def _engine(folder: Path) -> Replica:
    data = folder / "engine"
    data.mkdir()
    command = [
        str(binary_of("valkey")), "--port", "0", "--unixsocket", f"{folder}/engine.sock",
        "--dir", str(data), "--appendonly", "yes", "--appendfsync", "always", "--save", "",
        "--maxmemory-policy", "noeviction", "--loglevel", "notice",
    ]  # fmt: skip
    return Replica(ENGINE, command, os.environ, folder / "engine.log")


def _either(addresses: Iterable[str]) -> str:
    return "ipv4:" + ",".join(addresses)


def _free_ports(count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        port = _PORTS[0] + secrets.randbelow(_PORTS[1] - _PORTS[0])
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found
