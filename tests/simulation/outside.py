"""The world that tools act on, and the tools; it knows what really happened."""

import asyncio
from collections import Counter, defaultdict
from contextvars import ContextVar
from dataclasses import dataclass, field

from simulation.loop import Process, current
from simulation.network import Network
from simulation.watch import Watch

from pentad_tools.tool import (
    NOT_DONE,
    UNKNOWN,
    Checked,
    Done,
    Effect,
    ToolContext,
    ToolFailed,
    tool,
)

_TIMEOUT_S = 20.0
NAMES = ("look", "put", "send", "shout")
ONCE = frozenset({"send", "shout"})


@dataclass(slots=True)
class Outside:
    """What tools did, by the idempotency key of the call."""

    network: Network
    watch: Watch
    effects: Counter[str] = field(default_factory=Counter)
    keys: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """By what a model asked for once, the keys under which it was done."""
    attempts: Counter[str] = field(default_factory=Counter)
    _acting: defaultdict[str, list[Process]] = field(default_factory=lambda: defaultdict(list))

    async def act(self, what: str, key: str, *, once: bool) -> str:
        """Take a while, have the effect in the midst of it, and say so."""
        self.keys[what].add(key)
        self.watch.call_executed(key)
        self.attempts[key] += 1
        chance = self.network.chance("act", key, self.attempts[key])
        process = current()
        self._acting[key].append(process)
        try:
            await asyncio.sleep(_while(chance.random()))
            if chance.random() < 0.1:
                raise ToolFailed("it would not")
            self.effects[key] += 1
            self.watch.note(f"{key} took place")
            if once and self.effects[key] > 1:
                self.watch.violated(f"{key} took place {self.effects[key]} times")
            await asyncio.sleep(_while(chance.random()))
        finally:
            self._acting[key].remove(process)
        return f"did {key}"

    def look(self, key: str) -> Checked:
        """Say truly what became of a call; UNKNOWN while somebody is at it."""
        if self.effects[key]:
            return Done(f"did {key}")
        at_it = any(process.alive for process in self._acting[key])
        return UNKNOWN if at_it else NOT_DONE


outside: ContextVar[Outside] = ContextVar("outside")


def _while(drawn: float) -> float:
    """Return how long something takes: mostly moments, at times longer than an entry is held."""
    return 0.2 * drawn / (1.001 - drawn)


@tool(effect=Effect.PURE, timeout_s=_TIMEOUT_S)
async def look(what: str, context: ToolContext) -> str:
    """Look."""
    return await outside.get().act(what, context.idempotency_key, once=False)


@tool(effect=Effect.IDEMPOTENT, timeout_s=_TIMEOUT_S)
async def put(what: str, context: ToolContext) -> str:
    """Put something where its key says."""
    return await outside.get().act(what, context.idempotency_key, once=False)


@tool(effect=Effect.ONCE, timeout_s=_TIMEOUT_S)
async def send(what: str, context: ToolContext) -> str:
    """Send something, which can be looked up."""
    return await outside.get().act(what, context.idempotency_key, once=True)


@send.check
async def was_sent(what: str, context: ToolContext) -> Checked:
    """Look it up."""
    del what  # the key alone tells
    await asyncio.sleep(0.05)
    return outside.get().look(context.idempotency_key)


@tool(effect=Effect.ONCE, timeout_s=_TIMEOUT_S)
async def shout(what: str, context: ToolContext) -> str:
    """Shout something, which nobody can look up."""
    return await outside.get().act(what, context.idempotency_key, once=True)


TOOLS = (look, put, send, shout)
