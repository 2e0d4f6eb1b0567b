"""`pentad usage`: what models consumed, by day, agent and model."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer

from pentad.gateway.v1.usage_service_pb2 import ListUsageRequest
from pentad.state.v1.budget_pb2 import UsageRow
from pentad_cli.connection import Client, call
from pentad_cli.output import print_json, print_rows
from pentad_cli.words import dollars

_SINCE_DAYS = 30


class By(StrEnum):
    """What a row may be of."""

    DAY = "day"
    AGENT = "agent"
    MODEL = "model"


_GROUPS = {
    By.DAY: ListUsageRequest.GROUP_DAY,
    By.AGENT: ListUsageRequest.GROUP_AGENT,
    By.MODEL: ListUsageRequest.GROUP_MODEL,
}


class Output(StrEnum):
    """How to print."""

    TABLE = "table"
    JSON = "json"


def usage(
    by: Annotated[
        list[By] | None,
        typer.Option("--by", help="What rows are of; may come several times.", show_default=False),
    ] = None,
    since: Annotated[
        str, typer.Option(metavar="DAY", help="First day in UTC; 30 days ago if unset.")
    ] = "",
    agent: Annotated[str, typer.Option(metavar="NAME", help="Only of this agent.")] = "",
    model: Annotated[str, typer.Option(metavar="MODEL", help="Only of this model.")] = "",
    output: Annotated[Output, typer.Option(help="table, or a line of JSON a row.")] = Output.TABLE,
) -> None:
    """List what models consumed."""
    first = since or (datetime.now(UTC).date() - timedelta(days=_SINCE_DAYS)).isoformat()
    request = ListUsageRequest(
        from_day=first, agent=agent, model=model, group_by=[_GROUPS[each] for each in by or []]
    )

    async def work(client: Client) -> list[UsageRow]:
        return list((await client.usage.ListUsage(request)).rows)

    found = call(work)
    if output is Output.JSON:
        for row in found:
            print_json(row)
        return
    header = ("DAY", "AGENT", "MODEL", "TURNS", "CALLS", "READ", "CACHED", "WRITTEN", "COST",
              "UNSETTLED")  # fmt: skip
    print_rows(header, map(_cells, found), f"nothing was spent since {first}")


def _cells(row: UsageRow) -> tuple[str, ...]:
    used = row.usage
    cost = dollars(used.cost_nano_usd) + ("+" if row.unpriced_turns else "")
    unsettled = f"{row.unsettled_turns} ({row.unsettled.tokens} tokens)"
    return (
        row.day or "-",
        row.agent or "-",
        row.model or "-",
        str(row.turns),
        str(row.tool_calls),
        str(used.input_tokens),
        str(used.cached_input_tokens),
        str(used.output_tokens),
        cost,
        unsettled if row.unsettled_turns else "-",
    )
