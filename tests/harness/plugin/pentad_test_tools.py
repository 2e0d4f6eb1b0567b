"""Tools that a test steers; the suite under test finds them as an installed package's."""

import asyncio
from pathlib import Path

from pentad_tools.tool import NOT_DONE, Checked, Done, Effect, ToolContext, tool

_POLL_S = 0.02


@tool(effect=Effect.PURE, timeout_s=60.0)
async def gate(path: str) -> str:
    """Wait until the file at the path exists, and say so."""
    await _exists(path)
    return "open"


@tool(effect=Effect.ONCE, timeout_s=60.0)
async def deliver(path: str, context: ToolContext) -> str:
    """Write the call's key into a file, then wait until `PATH.gate` exists."""
    return await _deliver(path, context)


@deliver.check
def was_delivered(path: str, context: ToolContext) -> Checked:
    """Look for the key in the file."""
    delivered = context.idempotency_key in Path(path).read_text("utf-8")
    return Done("delivered before") if delivered else NOT_DONE


@tool(effect=Effect.ONCE, timeout_s=60.0)
async def deliver_blindly(path: str, context: ToolContext) -> str:
    """Do as `deliver`, with nothing that could tell afterwards whether it did."""
    return await _deliver(path, context)


@tool(effect=Effect.PURE)
def break_down(words: str) -> str:
    """Fail by a defect that quotes what it was given."""
    raise RuntimeError(words)


@tool(effect=Effect.PURE)
def fill(kib: int) -> str:
    """Return so much text."""
    return "x" * 1024 * kib


async def _deliver(path: str, context: ToolContext) -> str:
    await asyncio.to_thread(_write_down, path, context.idempotency_key)
    await _exists(f"{path}.gate")
    return "delivered"


def _write_down(path: str, key: str) -> None:
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(f"{key}\n")


async def _exists(path: str) -> None:
    while not await asyncio.to_thread(Path(path).exists):  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(_POLL_S)
