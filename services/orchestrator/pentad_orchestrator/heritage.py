"""What a run that another one starts takes over from it. Pure."""

from dataclasses import dataclass

from pentad.state.v1.budget_pb2 import Account
from pentad.state.v1.event_pb2 import Parent, RunCreated
from pentad_orchestrator.accounts import accounts_of
from pentad_orchestrator.commands import StartChild
from pentad_orchestrator.run import Run


@dataclass(frozen=True, slots=True)
class Heritage:
    """Agents and tools as its parent pinned them, and its place below it."""

    parent: Parent
    pinned: RunCreated
    """How its parent was created."""

    @property
    def accounts(self) -> list[Account]:
        """What its spending counts against for its parent's sake."""
        return accounts_of(self.parent.run_id, self.pinned)


def heritage_of(run: Run, command: StartChild) -> Heritage:
    """Return what a child of a run takes over."""
    parent = Parent(
        run_id=run.run_id,
        key=command.key,
        index=command.index,
        depth=run.created.parent.depth + 1,
    )
    return Heritage(parent, run.created)
