"""What a run spent where: by agent and model. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from pentad.state.v1.budget_pb2 import Spending
from pentad.state.v1.message_pb2 import Usage
from pentad_orchestrator.usage import total

NOBODY = "-"
"""Agent and model of what a workflow's node does itself."""

_NOTHING = Usage()


class Spent(NamedTuple):
    """What one model of one agent consumed."""

    usage: Usage
    turns: int
    tool_calls: int


Ledger = Mapping[tuple[str, str], Spent]
"""By agent and model."""


def added(
    ledger: Ledger, agent: str, model: str, usage: Usage = _NOTHING, turns: int = 0, calls: int = 0
) -> Ledger:
    """Return the ledger with more turns and calls of one model of one agent."""
    key, more = (agent, model), Spent(usage, turns, calls)
    before = ledger.get(key)
    return {**ledger, key: more if before is None else _sum(before, more)}


def merged(ledger: Ledger, more: Iterable[Spending]) -> Ledger:
    """Return the ledger with what a run spent that this one started."""
    for each in more:
        ledger = added(ledger, each.agent, each.model, each.usage, each.turns, each.tool_calls)
    return ledger


def listed(ledger: Ledger) -> Iterator[Spending]:
    """Yield what the ledger holds, for people."""
    for (agent, model), (usage, turns, calls) in ledger.items():
        yield Spending(agent=agent, model=model, usage=usage, turns=turns, tool_calls=calls)


def _sum(before: Spent, more: Spent) -> Spent:
    usage = before.usage
    if more.turns:
        usage = total(usage, more.usage, first=before.turns == 0)
    return Spent(usage, before.turns + more.turns, before.tool_calls + more.tool_calls)
