"""What a run's spending counts against. Pure."""

from collections.abc import Iterable

from pentad.state.v1.budget_pb2 import Account
from pentad.state.v1.event_pb2 import RunCreated
from pentad_orchestrator.bounds import budget_of
from pentad_orchestrator.run import Run


def accounts_of(parent_id: str, parent: RunCreated) -> list[Account]:
    """Return what a run counts against because another one started it: `RunCreated.accounts`.

    That is the other's own budget, its session's, and whatever the other counts against because
    it was itself started by one.
    """
    return _distinct([*_own(parent_id, parent), *parent.accounts])


def accounts_for(run: Run) -> list[Account]:
    """Return all that the current step of a run counts against."""
    created = run.created
    return _distinct(
        [
            Account(scope=Account.SCOPE_TENANT),
            *_of_agent(run),
            *_own(run.run_id, created),
            *created.accounts,
        ]
    )


def _of_agent(run: Run) -> Iterable[Account]:
    """The calls of a graph are no agent's."""
    if run.agent.name:
        yield Account(scope=Account.SCOPE_AGENT, name=run.agent.name)


def _own(run_id: str, created: RunCreated) -> Iterable[Account]:
    if session_id := created.spec.session_id:
        yield Account(scope=Account.SCOPE_SESSION, name=session_id)
    limit = budget_of(created)
    limit.ClearField("wall_time")
    if limit.ByteSize():
        yield Account(scope=Account.SCOPE_RUN, name=run_id, limit=limit)


def _distinct(accounts: Iterable[Account]) -> list[Account]:
    found: dict[tuple[int, str], Account] = {}
    for account in accounts:
        found.setdefault((account.scope, account.name), account)
    return list(found.values())
