"""How values are said to people: bounded text, states, durations, tokens, cost."""

from datetime import UTC

from google.protobuf.timestamp_pb2 import Timestamp

from pentad.state.v1.message_pb2 import Usage
from pentad.state.v1.run_pb2 import Run, RunSpec, RunStatus

_NANO_USD = 1_000_000_000
_CENT = 0.01
_MINUTE = 60.0
_HOUR = 3600.0


def clip(text: str, width: int = 200) -> str:
    """Return text on one line, cut where it exceeds `width`; control characters are dropped."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= width else f"{line[: width - 1]}…"


def printable(text: str) -> str:
    """Return text without control characters, line breaks apart: it cannot steer a terminal."""
    return "".join(c for c in text.expandtabs() if c.isprintable() or c == "\n")


def state_word(state: "RunStatus.State.ValueType") -> str:
    """Return `running` for STATE_RUNNING, and so on."""
    return RunStatus.State.Name(state).removeprefix("STATE_").lower()


def duration(seconds: float) -> str:
    """Return `0.42 s`, `3 min 5 s` or `2 h 10 min`."""
    if seconds < _MINUTE:
        return f"{seconds:.2f} s"
    if seconds < _HOUR:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"


def seconds_between(begin: Timestamp, end: Timestamp) -> float:
    """Return the time from one timestamp to another."""
    return end.seconds - begin.seconds + (end.nanos - begin.nanos) / 1e9


def usage_words(usage: Usage) -> str:
    """Return tokens, and cost where it is known."""
    tokens = f"{usage.input_tokens + usage.output_tokens} tokens"
    return f"{tokens}, {cost(usage)}" if usage.HasField("cost_nano_usd") else tokens


def cost(usage: Usage) -> str:
    """Return the cost in US dollars, fine enough not to round a small one to nothing."""
    return dollars(usage.cost_nano_usd)


def dollars(nano: int) -> str:
    """Return an amount in US dollars, likewise."""
    amount = nano / _NANO_USD
    return f"${amount:.2f}" if amount >= _CENT or amount == 0 else f"${amount:.6f}"


def performer(spec: RunSpec) -> str:
    """Return who performs a run: an agent, a capability or its steps."""
    if spec.WhichOneof("workflow") == "multi_step":
        return f"{len(spec.multi_step.steps)} steps"
    if spec.WhichOneof("workflow") == "graph":
        return f"{len(spec.graph.nodes)} nodes"
    if spec.workflow_name:
        return f"workflow {spec.workflow_name}"
    return spec.agent or f"capability {spec.capability}"


def local_time(time: Timestamp) -> str:
    """Return a time of day with date, in the machine's zone."""
    return (
        time.ToDatetime(tzinfo=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        if time.seconds
        else "-"
    )


def took(run: Run) -> str:
    """Return how long a run took, or nothing while it goes on."""
    return duration(seconds_between(run.create_time, run.end_time)) if run.end_time.seconds else "-"
