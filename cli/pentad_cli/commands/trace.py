"""`pentad trace`: what each service did for a run."""

import asyncio
import sys
from collections import defaultdict
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from pentad.gateway.v1.run_service_pb2 import GetRunRequest
from pentad.gateway.v1.trace_service_pb2 import GetRunTraceRequest, GetRunTraceResponse
from pentad.state.v1.trace_service_pb2 import Span
from pentad_cli.connection import Client, call
from pentad_cli.failure import CommandFailed
from pentad_cli.output import print_json
from pentad_cli.words import seconds_between

_SETTLE_S = 3.0
"""Services report their spans a moment after they end; a trace settles within this time."""

_POLL_S = 0.25
_PLAIN_WIDTH = 160
_SHOWN = ("error.type", "pentad.linked_span", "gen_ai.usage.output_tokens")


def trace(
    run_id: Annotated[str, typer.Argument(metavar="RUN", show_default=False)],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="The whole trace as JSON.")] = False,
) -> None:
    """Draw a run's trace: every call between services, with its times."""
    found = call(lambda client: _settled(client, run_id))
    if not found.spans:
        raise CommandFailed(f"no trace of run {run_id}", "traces are kept for an hour")
    if as_json:
        print_json(found)
        return
    # A pipe has no width of its own, and eighty columns would break most lines.
    width = None if sys.stdout.isatty() else _PLAIN_WIDTH
    console = Console(width=width, highlight=False)
    services = sorted({span.service for span in found.spans})
    console.print(f"trace {found.trace_id}: {len(found.spans)} spans of {', '.join(services)}")
    for tree in _trees(list(found.spans)):
        console.print(tree, no_wrap=True, overflow="ellipsis", crop=False)


async def _settled(client: Client, run_id: str) -> GetRunTraceResponse:
    """Return the trace once the run has ended and every span's parent is there, or in time."""
    run = (await client.runs.GetRun(GetRunRequest(run_id=run_id))).run
    deadline = asyncio.get_running_loop().time() + _SETTLE_S
    while True:
        found = await client.traces.GetRunTrace(GetRunTraceRequest(run_id=run_id))
        late = asyncio.get_running_loop().time() >= deadline
        if late or not run.HasField("end_time") or is_whole(found):
            return found
        await asyncio.sleep(_POLL_S)


def is_whole(found: GetRunTraceResponse) -> bool:
    """Whether every span has ended, and none's parent is missing."""
    known = {span.span_id for span in found.spans}
    return bool(known) and all(
        s.HasField("end_time") and (not s.parent_span_id or s.parent_span_id in known)
        for s in found.spans
    )


def _trees(spans: list[Span]) -> list[Tree]:
    """Return the trace as trees; a span whose parent is not known is a root."""
    known = {span.span_id for span in spans}
    children: defaultdict[str, list[Span]] = defaultdict(list)
    for span in sorted(spans, key=lambda s: (s.start_time.seconds, s.start_time.nanos)):
        children[span.parent_span_id if span.parent_span_id in known else ""].append(span)
    first = children[""][0]

    def grow(span: Span, tree: Tree) -> Tree:
        for child in children[span.span_id]:
            grow(child, tree.add(_line(child, first)))
        return tree

    return [grow(root, Tree(_line(root, first), guide_style="dim")) for root in children[""]]


def _line(span: Span, first: Span) -> Text:
    offset = seconds_between(first.start_time, span.start_time) * 1000
    kind = Span.Kind.Name(span.kind).removeprefix("KIND_").lower()
    line = Text.assemble(
        (f"{span.service} ", "cyan"),
        (span.name, "bold" if kind == "internal" else ""),
        (f"  {kind}", "dim"),
        f"  +{offset:.0f} ms, ",
        _took(span),
    )
    for name in _SHOWN:
        if value := span.attributes.get(name):
            line.append(f"  {name}={value}", "red" if span.failed else "dim")
    return line


def _took(span: Span) -> str:
    if not span.HasField("end_time"):
        return "not ended"
    return f"{seconds_between(span.start_time, span.end_time) * 1000:.1f} ms"
