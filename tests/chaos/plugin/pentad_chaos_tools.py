"""Tools whose effects take place outside of the suite, in the folder that `CHAOS_LEDGER` names.

They neither lock nor buffer: a line is one `write`, a parcel one file, so that whatever kills a
process at whatever moment leaves an effect that took place, or none.
"""

import asyncio
import os
import time
from pathlib import Path

from pentad_tools.tool import NOT_DONE, Checked, Done, Effect, ToolContext, tool

_LEDGER = Path(os.environ["CHAOS_LEDGER"])
_TIMEOUT_S = 8.0


@tool(effect=Effect.ONCE, timeout_s=_TIMEOUT_S)
async def pay(ms: str, context: ToolContext) -> str:
    """Pay, to somebody who takes whatever comes and can be asked nothing."""
    await _half(ms)
    _write("pay", context.idempotency_key)
    await _half(ms)
    return f"paid {context.idempotency_key}"


@tool(effect=Effect.ONCE, timeout_s=_TIMEOUT_S)
def ship(ms: str, context: ToolContext) -> str:
    """Ship a parcel with a carrier who takes one parcel of a number, and tells whether it has."""
    time.sleep(int(ms) / 2000)
    try:
        os.close(os.open(_parcel(context), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        _write("refused", context.idempotency_key)
        return _shipped(context)
    _write("ship", context.idempotency_key)
    time.sleep(int(ms) / 2000)
    return _shipped(context)


@ship.check
def was_shipped(ms: str, context: ToolContext) -> Checked:  # noqa: ARG001 - as the tool's
    """Ask the carrier."""
    return Done(_shipped(context)) if _parcel(context).exists() else NOT_DONE


@tool(effect=Effect.IDEMPOTENT, timeout_s=_TIMEOUT_S)
async def post(ms: str, context: ToolContext) -> str:
    """Post an entry, to somebody who counts those with one key as one."""
    await _half(ms)
    _write("post", context.idempotency_key)
    await _half(ms)
    return f"posted {context.idempotency_key}"


async def _half(ms: str) -> None:
    await asyncio.sleep(int(ms) / 2000)


def _shipped(context: ToolContext) -> str:
    return f"shipped {context.idempotency_key}"


def _parcel(context: ToolContext) -> Path:
    return _LEDGER / "parcels" / context.idempotency_key.replace("/", "_")


def _write(what: str, key: str) -> None:
    line = f"{what} {key} {os.getpid()} {time.time():.3f}\n".encode()
    descriptor = os.open(_LEDGER / "lines", os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)
