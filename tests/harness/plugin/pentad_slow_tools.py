"""Tools that never end by themselves; the suite under test finds them as an installed package's."""

import asyncio
from pathlib import Path

from pentad_tools.tool import Effect, tool


@tool(effect=Effect.PURE, timeout_s=60.0)
async def linger(path: str) -> str:
    """Stay until stopped; the file at the path gets a line `began`, and one `stopped` then."""
    return await _stay(Path(path))


@tool(effect=Effect.PURE, timeout_s=0.5)
async def linger_briefly(path: str) -> str:
    """Stay until stopped, which its own timeout sees to; the file as with `linger`."""
    return await _stay(Path(path))


async def _stay(file: Path) -> str:
    await asyncio.to_thread(_say, file, "began")
    try:
        await asyncio.Event().wait()
    finally:
        # Not in a thread: who is cancelled has no time to wait for one.
        _say(file, "stopped")
    return "never"


def _say(file: Path, word: str) -> None:
    with file.open("a", encoding="utf-8") as lines:
        lines.write(f"{word}\n")
