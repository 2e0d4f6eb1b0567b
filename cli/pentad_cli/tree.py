"""A run as a live tree on a terminal: steps, turns, tool calls, text as it is written."""

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.text import Text
from rich.tree import Tree

from pentad.state.v1.run_pb2 import RunStatus
from pentad_cli.nodes import NodeRun, NodeState
from pentad_cli.progress import Call, Progress, Step, Turn
from pentad_cli.words import clip, duration, printable, state_word, usage_words

_TEXT_MAX = 2000
_STYLES = {
    RunStatus.STATE_COMPLETED: "bold green",
    RunStatus.STATE_FAILED: "bold red",
    RunStatus.STATE_CANCELLED: "bold yellow",
    RunStatus.STATE_PAUSED: "bold yellow",
    RunStatus.STATE_WAITING: "bold yellow",
}


_NODE_STYLES = {
    NodeState.COMPLETED: "green",
    NodeState.FAILED: "red",
    NodeState.COMPENSATED: "yellow",
}


class Bottom:
    """As much of a tree's end as the terminal has lines for: what is new is what matters."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self._tree, options, pad=False)
        for line in lines[-max(1, console.height - 2) :]:
            yield from line
            yield Segment.line()


def run_tree(progress: Progress, elapsed_s: float) -> Tree:
    """Draw a run as it stands."""
    calls = sum(len(t.calls) for s in progress.steps.values() for t in s.turns.values())
    turns = sum(len(s.turns) for s in progress.steps.values())
    title = Text.assemble(
        (progress.run_id or "run", "bold"),
        "  ",
        (state_word(progress.state), _STYLES.get(progress.state, "bold cyan")),
        f"  {duration(elapsed_s)}  {turns} turns  {calls} tool calls  ",
        usage_words(progress.usage),
    )
    if progress.owners > 1:
        title.append(f"  taken over, owner number {progress.owners}", "yellow")
    tree = Tree(title, guide_style="dim")
    for step in progress.steps.values():
        _draw_step(tree, step)
    for run in progress.nodes.runs.values():
        _draw_node(tree, run)
    if progress.nodes.unwinding and not progress.ended:
        tree.add(Text(f"taking back: {clip(progress.nodes.unwinding)}", "yellow"))
    if progress.reason:
        tree.add(Text(clip(progress.reason), _STYLES.get(progress.state, "")))
    return tree


def _draw_step(tree: Tree, step: Step) -> None:
    mark = "✓" if step.done else "•" if step.turns else " "
    branch = tree.add(Text.assemble((f"{mark} {step.name}", "bold"), (f"  {step.agent}", "cyan")))
    for turn in step.turns.values():
        node = branch.add(_turn_line(turn))
        if turn.text:
            node.add(Text(printable(turn.text[-_TEXT_MAX:]).strip()))
        for call in turn.calls.values():
            _draw_call(node, call)


def _draw_node(tree: Tree, run: NodeRun) -> None:
    style = _NODE_STYLES.get(run.state, "")
    line = Text.assemble((f"{run.state.value} {run.path}", "bold"))
    if run.attempt > 1:
        line.append(f"  attempt {run.attempt}", "yellow")
    if run.said:
        line.append(f"  {clip(run.said)}", style)
    tree.add(line)


def _turn_line(turn: Turn) -> Text:
    line = Text(f"turn {turn.number}", "dim")
    if turn.attempt > 1:
        line.append(f"  attempt {turn.attempt}", "yellow")
    if turn.failure:
        line.append(f"  {clip(turn.failure)}", "red")
    if turn.done and turn.model:
        line.append(f"  {turn.model}  {usage_words(turn.usage)}")
        if turn.from_cache:
            line.append("  from the response cache", "yellow")
    elif not turn.failure:
        line.append("  …")
    return line


def _draw_call(node: Tree, call: Call) -> None:
    line = Text.assemble((call.tool, "magenta"), f"  {clip(call.arguments)}")
    if call.result is not None or call.error is not None:
        line.append(f"  {duration(call.elapsed_s)}", "dim")
    if call.replayed:
        line.append("  replayed", "yellow")
    for outcome, style in _outcomes(call):
        line.append(f"\n→ {clip(outcome)}", style)
    node.add(line)


def _outcomes(call: Call) -> Iterator[tuple[str, str]]:
    if call.error is not None:
        yield call.error, "red"
    elif call.result is not None:
        yield call.result, "green"
    elif call.unknown:
        yield "nobody knows whether it took place", "yellow"
    elif call.waits:
        yield call.waits, "yellow"
    elif call.started:
        yield "…", "dim"
