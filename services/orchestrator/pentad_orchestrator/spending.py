"""What a run spent where: by agent and model. Pure."""

from collections.abc import Iterable, Mapping

from pentad.state.v1.budget_pb2 import Spending
from pentad.state.v1.message_pb2 import Usage
from pentad_orchestrator.usage import total

Ledger = Mapping[tuple[str, str], Spending]
"""By agent and model."""

NOBODY = "-"
"""Agent and model of what a workflow's node does itself."""

_NOTHING = Usage()


def added(
    ledger: Ledger, agent: str, model: str, usage: Usage = _NOTHING, turns: int = 0, calls: int = 0
) -> Ledger:
    """Return the ledger with more turns and calls of one model of one agent."""
    return merged(
        ledger,
        [Spending(agent=agent, model=model, usage=usage, turns=turns, tool_calls=calls)],
    )


def merged(ledger: Ledger, more: Iterable[Spending]) -> Ledger:
    """Return the ledger with what else was spent, such as by a run that this one started."""
    after = dict(ledger)
    for each in more:
        key = (each.agent, each.model)
        before = after.get(key)
        after[key] = each if before is None else _sum(before, each)
    return after


def _sum(before: Spending, more: Spending) -> Spending:
    usage = before.usage if more.turns == 0 else total(
        before.usage, more.usage, first=before.turns == 0
    )  # fmt: skip
    return Spending(
        agent=before.agent,
        model=before.model,
        usage=usage,
        turns=before.turns + more.turns,
        tool_calls=before.tool_calls + more.tool_calls,
    )
