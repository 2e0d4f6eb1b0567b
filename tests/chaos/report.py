"""What people read of a run."""

import math
from collections.abc import Sequence

from chaos.run import Outcome

_SHOWN = 10
_WIDTH = 1000


def report(outcome: Outcome) -> str:
    """Return the figures, and every broken promise."""
    findings, order = outcome.findings, outcome.order
    wrong = findings.wrong()
    kinds = ", ".join(f"{count} {kind}" for kind, count in outcome.injections.most_common())
    ended = ", ".join(f"{count} {state}" for state, count in findings.ended.most_common())
    lines = [
        f"seed            {order.seed}",
        f"load            {order.clients} clients, {order.seconds:g} s, lease {order.lease_s:g} s",
        f"injections      {sum(outcome.injections.values())}: {kinds}",
        f"runs            {findings.ended.total()}: {ended}",
        *(f"{_NAMES[name]:15} {len(found)}" for name, found in wrong.items()),
        f"calls settled   {outcome.settled} by a person, after their runner was gone",
        f"slowest pickup  {_quantiles(findings.pickups_s)}",
        f"  before it all {_quantiles(outcome.idle_pickups_s)}",
    ]
    for name, found in wrong.items():
        lines += [f"{_NAMES[name]}: {line[:_WIDTH]}" for line in found[:_SHOWN]]
    return "\n".join(lines)


_NAMES = {
    "lost": "lost",
    "duplicated": "duplicated",
    "stuck": "stuck",
    "gaps": "stream gaps",
    "untrue": "untrue reasons",
    "failed": "failed runs",
    "errors": "wrong answers",
    "deaths": "own deaths",
}


def _quantiles(seconds: Sequence[float]) -> str:
    if not seconds:
        return "-"
    ordered = sorted(seconds)
    p99, median = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.99, 0.5))
    return f"{1000 * ordered[-1]:.0f} ms, p99 {1000 * p99:.0f} ms, median {1000 * median:.0f} ms"
