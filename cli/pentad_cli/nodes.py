"""The nodes of a workflow as a run's events tell of them."""

from dataclasses import dataclass, field
from enum import Enum

from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_pb2 import Failure


class NodeState(Enum):
    """Where a node, or an item of a map, stands; the value is its mark."""

    IDLE = " "
    RUNNING = "•"
    COMPLETED = "✓"
    SKIPPED = "-"
    FAILED = "✗"
    COMPENSATED = "↶"


@dataclass(slots=True)
class NodeRun:
    """One run of a node or of an item."""

    path: str
    state: NodeState = NodeState.RUNNING
    attempt: int = 1
    said: str = ""
    """What came of it, or why nothing did."""


@dataclass(slots=True)
class Nodes:
    """What is known of a workflow's nodes; `apply` takes a run's events in order."""

    runs: dict[str, NodeRun] = field(default_factory=dict)
    """By path, in the order in which they were begun."""

    unwinding: str = ""
    """Why what was done is taken back."""

    def apply(self, event: Event) -> None:
        """Take the next event; those that tell of no node change nothing."""
        match event.WhichOneof("kind"):
            case "node_started":
                told = self._run(event.node_started.path)
                told.state, told.attempt = NodeState.RUNNING, event.node_started.attempt
            case "node_completed":
                told = self._run(event.node_completed.path)
                told.state, told.said = NodeState.COMPLETED, event.node_completed.output.text
            case "node_failed":
                failed = event.node_failed
                again = failed.HasField("retry_after")
                told = self._run(failed.path)
                told.state = NodeState.RUNNING if again else NodeState.FAILED
                told.said = failure_words(failed.failure)
            case "node_skipped":
                self._run(event.node_skipped.node).state = NodeState.SKIPPED
            case "compensation_completed":
                self._run(event.compensation_completed.path).state = NodeState.COMPENSATED
            case "compensation_failed":
                told = self._run(event.compensation_failed.path)
                told.said = f"not taken back: {failure_words(event.compensation_failed.failure)}"
            case "unwinding_started":
                cause = event.unwinding_started
                self.unwinding = failure_words(cause.failure) or cause.cancel_reason or "cancelled"

    def of(self, node: str) -> list[NodeRun]:
        """Return the runs of a node, without the items of its map."""
        return [run for path, run in self.runs.items() if path.partition("#")[0] == node]

    def items(self, path: str) -> list[NodeRun]:
        """Return the items of one run of a map."""
        return [run for each, run in self.runs.items() if each.startswith(f"{path}[")]

    def _run(self, path: str) -> NodeRun:
        return self.runs.setdefault(path, NodeRun(path))


def failure_words(failure: Failure) -> str:
    """Return a failure in words; nothing for none."""
    return f"{failure.message} ({failure.reason})" if failure.reason else ""
