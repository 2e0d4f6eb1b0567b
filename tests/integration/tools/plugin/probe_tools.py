"""Tools that a test in the same process steers through `PROBE`."""

import asyncio
import threading

from pentad_tools.tool import UNKNOWN, Checked, Effect, ToolContext, tool


class Probe:
    """What the tools did, and what they are to do."""

    def __init__(self) -> None:
        self.runs = 0
        self.started = asyncio.Event()
        self.stopped = asyncio.Event()
        self.release = asyncio.Event()
        self.release_thread = threading.Event()
        self.finding: Checked = UNKNOWN

    async def run(self) -> str:
        """Go on until released."""
        self.runs += 1
        self.started.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.stopped.set()
            raise
        return f"run {self.runs}"


PROBE = Probe()


def renew() -> Probe:
    """Begin anew, for the next test."""
    global PROBE  # noqa: PLW0603 - an entry point has nowhere else to find it
    PROBE = Probe()
    return PROBE


@tool(effect=Effect.PURE)
async def pure(text: str = "") -> str:
    """Run."""
    del text
    return await PROBE.run()


@tool(effect=Effect.PURE, timeout_s=0.05)
async def pure_short() -> str:
    """Run out of time."""
    return await PROBE.run()


@tool(effect=Effect.ONCE)
async def once() -> str:
    """Run once."""
    return await PROBE.run()


@tool(effect=Effect.ONCE)
async def once_checked() -> str:
    """Run once."""
    return await PROBE.run()


@tool(effect=Effect.ONCE, timeout_s=0.05)
async def once_short() -> str:
    """Run out of time, once."""
    return await PROBE.run()


@once_checked.check
@once_short.check
async def found() -> Checked:
    """Find what the test says."""
    return PROBE.finding


@tool(effect=Effect.ONCE, timeout_s=0.05)
def once_in_thread() -> str:
    """Run out of time in a thread that nobody can stop."""
    PROBE.runs += 1
    PROBE.release_thread.wait(20)
    return "late"


@tool(effect=Effect.PURE)
def context_of_call(context: ToolContext) -> dict[str, str]:
    """Tell the context."""
    return {"tenant": context.tenant, "key": context.idempotency_key}
