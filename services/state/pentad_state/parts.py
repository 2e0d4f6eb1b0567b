"""Asking many partitions at once, some of which may be kept where nobody answers."""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from pentad_state.errors import StoreUnavailable

_K = TypeVar("_K")
_V = TypeVar("_V")

_LAG_S = 0.5
"""How much later than the first answer others may come, before they are gone on without."""


async def answers(calls: Mapping[_K, Coroutine[Any, Any, _V]]) -> dict[_K, _V]:
    """Return what the calls return, without those whose part of the store does not answer.

    One shard of a cluster that is away, or silent, holds up none of the others. StoreUnavailable
    when there is no answer at all.
    """
    tasks = {asyncio.create_task(call): name for name, call in calls.items()}
    try:
        waiting = set(tasks)
        while waiting and not any(map(_has_answered, tasks)):
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if waiting:
            await asyncio.wait(waiting, timeout=_LAG_S)
    finally:
        for task in tasks:
            task.cancel()
    found = {name: task.result() for task, name in tasks.items() if _has_answered(task)}
    if calls and not found:
        raise next(error for task in tasks if (error := task.exception()))
    return found


def _has_answered(task: asyncio.Task[_V]) -> bool:
    """Whether there is a result; an error that does not speak of the store's absence is raised."""
    if not task.done() or task.cancelled():
        return False
    error = task.exception()
    if error is not None and not isinstance(error, StoreUnavailable):
        raise error
    return error is None
