"""The five services in this process, with a fault proxy of its own on every hop.

The apps are the real ones, on unix sockets, over a real engine. Each caller is given the address
of a proxy for each of its peers, so that one hop can fail while all others are well.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from harness.engines import running_engine
from harness.faults import FaultProxy, Way, open_proxy
from harness.suite import PLUGIN, Kit, until
from opentelemetry.trace import Span, Tracer

from pentad_chassis.telemetry import StartsSpans, Telemetry, open_telemetry
from pentad_cli.connection import Connection, open_client
from pentad_executor.app import open_app as open_executor
from pentad_executor.config import Config as ExecutorConfig
from pentad_gateway.app import open_app as open_gateway
from pentad_gateway.config import Config as GatewayConfig
from pentad_orchestrator.app import open_app as open_orchestrator
from pentad_orchestrator.config import Config as OrchestratorConfig
from pentad_state.app import open_app as open_state
from pentad_state.config import Config as StateConfig
from pentad_tools.app import open_app as open_tools
from pentad_tools.config import Config as ToolsConfig

Hop = tuple[str, str]
"""Caller and callee."""

HOPS: tuple[Hop, ...] = (
    ("client", "gateway"),
    ("gateway", "orchestrator"),
    ("gateway", "state"),
    ("gateway", "tools"),
    ("orchestrator", "state"),
    ("orchestrator", "executor"),
    ("orchestrator", "tools"),
    ("tools", "state"),
    ("executor", "state"),
    ("state", "engine"),
)

SERVICES = ("state", "tools", "executor", "orchestrator", "gateway")
"""In the order of their start."""

BREAKER_RESET_S = 0.4

_QUIET_S = 0.3
_WATCH = "HandleExceptions[/grpc.health.v1.Health/Watch]"
_LINK = "HandleExceptions[/pentad.chassis.v1.LinkService/Connect]"
_OF_CONNECTIONS = ("_Connection", "Links.", "Session.", "Desk.read")
_OF_CALLS = ("rpc_task", "HandleExceptions", "_AioCall", "Desk._serve")

_COMMON: Mapping[str, Any] = {
    "breaker_reset_s": BREAKER_RESET_S,
    "drain_grace_s": 1.0,
}
_OWN: Mapping[str, Mapping[str, Any]] = {
    "state": {"reply_s": 0.8},
    "tools": {"hold_s": 0.5},
    "executor": {},
    "orchestrator": {
        "lease_s": 1.5,
        "claim_wait_s": 1.0,
        "catalogue_max_age_s": 0.0,
        "executors_poll_s": 0.3,
        "retry_s_max": 0.3,
    },
    "gateway": {},
}
APPS: Mapping[str, tuple[Any, Any]] = {
    "state": (StateConfig, open_state),
    "tools": (ToolsConfig, open_tools),
    "executor": (ExecutorConfig, open_executor),
    "orchestrator": (OrchestratorConfig, open_orchestrator),
    "gateway": (GatewayConfig, open_gateway),
}


class SpanWatch(Tracer):
    """Hands out another tracer's spans, and knows those that have not ended."""

    def __init__(self, inner: StartsSpans) -> None:
        self._inner = inner
        self._begun: list[Span] = []

    def start_span(self, *args: Any, **kwargs: Any) -> Span:
        """Begin a span; called by the service."""
        span = self._inner.start_span(*args, **kwargs)
        self._begun.append(span)
        return span

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
        """Nobody does this: spans go through `Telemetry`."""
        raise NotImplementedError

    def open(self) -> list[str]:
        """Return the names of the spans that have not ended."""
        self._begun = [span for span in self._begun if span.is_recording()]
        return [str(getattr(span, "name", span)) for span in self._begun]


@dataclass(frozen=True)
class Wired:
    """A running assembly."""

    folder: Path
    kit: Kit
    """The public API, through the proxy before the gateway."""

    proxies: Mapping[Hop, FaultProxy]
    telemetry: Mapping[str, Telemetry]
    spans: Mapping[str, SpanWatch]
    log: StringIO

    def address(self, service: str) -> str:
        """Where a service listens, without a proxy."""
        return _address(self.folder, service)

    def breaker(self, hop: Hop) -> str:
        """Return the state of a caller's breaker for its peer."""
        caller, callee = hop
        value = self._sample("pentad_breaker_state", caller, peer=callee)
        return {0: "closed", 1: "half-open", 2: "open"}[int(value)]

    def times_opened(self, hop: Hop) -> int:
        """Return how often a caller's breaker for its peer has opened."""
        caller, callee = hop
        return int(self._sample("pentad_breaker_changes_total", caller, peer=callee, state="open"))

    def tasks(self) -> Counter[str]:
        """Count the services' tasks by what they do.

        Tasks of a connection are left out, be it a proxy's, one whose peer is watched, or a link:
        channels connect when they need to. A call is a call, however it came.
        """
        found = Counter(_name(t) for t in asyncio.all_tasks() if t is not asyncio.current_task())
        calls = found["rpc_task"] - found[_WATCH] - found[_LINK] + found["Desk._serve"]
        left_out = (*_OF_CONNECTIONS, *_OF_CALLS)
        others = {n: c for n, c in found.items() if not n.startswith(left_out)}
        return Counter({"calls served": calls, **others})

    async def settle(self, known: Counter[str], timeout_s: float = 20.0) -> None:
        """Return once no task and no span is left beyond the known tasks."""

        async def at_rest() -> bool:
            return not (self.tasks() - known or self.open_spans())

        try:
            await until(at_rest, timeout_s)
        except AssertionError:
            left, spans = self.tasks() - known, self.open_spans()
            raise AssertionError(f"left behind: tasks {dict(left)}, spans {spans}") from None

    async def quiet(self, hop: Hop) -> None:
        """Return once nothing has gone over a hop for longer than spans wait to be handed over."""
        before: dict[Way, int] = {}
        while before != self.proxies[hop].passed:
            before = dict(self.proxies[hop].passed)
            await asyncio.sleep(_QUIET_S)

    def open_spans(self) -> list[str]:
        """Return the spans that have begun and not ended, by service and name."""
        return [f"{service}: {n}" for service, watch in self.spans.items() for n in watch.open()]

    def _sample(self, name: str, service: str, **labels: str) -> float:
        registry = self.telemetry[service].metrics.registry
        return registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def open_wired(folder: Path, *, link: bool = True, **executor: Any) -> AsyncIterator[Wired]:
    """Run the assembly while the block runs; `executor` goes into that service's settings."""
    log = StringIO()
    telemetry = {name: open_telemetry(name, "debug", log) for name in (*SERVICES, "client")}
    spans = {name: SpanWatch(each.tracer) for name, each in telemetry.items()}
    for name, each in telemetry.items():
        each.tracer = spans[name]
    async with AsyncExitStack() as stack:
        stack.enter_context(_plugin())
        engine = stack.enter_context(running_engine("valkey")).removeprefix("unix://")
        proxies: dict[Hop, FaultProxy] = {}
        for hop in HOPS:
            proxies[hop] = await stack.enter_async_context(_open_proxy(folder, hop, engine))
        for service in SERVICES:
            config_type, open_app = APPS[service]
            config = config_type(link=link, **_settings(folder, service, proxies, executor))
            await stack.enter_async_context(open_app(config, telemetry[service]))
        connection = Connection(
            address=proxies["client", "gateway"].address,
            api_key_file=folder / "api-key",
            breaker_reset_s=BREAKER_RESET_S,
        )
        client = await stack.enter_async_context(open_client(connection, telemetry["client"]))
        yield Wired(folder, Kit(client), proxies, telemetry, spans, log)


def _open_proxy(folder: Path, hop: Hop, engine: str) -> Any:
    if hop == ("state", "engine"):
        return open_proxy(f"unix:{engine}", f"unix:{folder}/proxy")
    return open_proxy(_address(folder, hop[1]))


def _settings(
    folder: Path, service: str, proxies: Mapping[Hop, FaultProxy], executor: Mapping[str, Any]
) -> dict[str, Any]:
    peers = {
        f"{callee}_address": proxy.address
        for (caller, callee), proxy in proxies.items()
        if caller == service and callee != "engine"
    }
    mine = {"address": _address(folder, service), **peers, **_COMMON, **_OWN[service]}
    match service:
        case "state":
            return {**mine, "redis_url": f"unix://{folder}/proxy"}
        case "tools":
            return {**mine, "notebook_dir": folder / "notebooks"}
        case "executor":
            advertised = proxies["orchestrator", "executor"].address
            return {**mine, "advertise_address": advertised, **executor}
        case "gateway":
            return {**mine, "api_key_file": folder / "api-key"}
        case _:
            return mine


def _address(folder: Path, service: str) -> str:
    return f"unix:{folder}/{service}"


def _name(task: asyncio.Task[Any]) -> str:
    """Return what tells two kinds of tasks apart and not two of a kind."""
    name = task.get_name()
    if not name.startswith("Task-"):
        return name
    coro = task.get_coro()
    return str(getattr(coro, "__qualname__", coro))


@contextmanager
def _plugin() -> Iterator[None]:
    """Have the test's own tools found as those of an installed package."""
    sys.path.insert(0, str(PLUGIN))
    try:
        yield
    finally:
        sys.path.remove(str(PLUGIN))
