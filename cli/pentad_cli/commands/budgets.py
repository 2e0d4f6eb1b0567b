"""`pentad budget`: what the tenant, its agents and its sessions may spend."""

from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Annotated

import typer

from pentad.gateway.v1.budget_service_pb2 import (
    DeleteBudgetRequest,
    ListBudgetsRequest,
    ListReservationsRequest,
    PutBudgetRequest,
)
from pentad.state.v1.budget_pb2 import Account, AccountBudget, Amounts, Budget, Reservation
from pentad_cli.connection import Client, call
from pentad_cli.output import print_json, print_rows, print_text
from pentad_cli.words import dollars

app = typer.Typer(help="What the tenant, its agents and its sessions may spend.")

_PAGE = 500
_NANO = Decimal(1_000_000_000)

Agent = Annotated[
    str, typer.Option("--agent", metavar="NAME", help="Of an agent's runs, each day.")
]
Session = Annotated[str, typer.Option("--session", metavar="ID", help="Of a session, in all.")]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON for each.")]
Count = Annotated[int | None, typer.Option(min=1, show_default=False)]


@app.command("set")
def set_budget(  # noqa: PLR0913 - one option for each thing that may be bounded
    agent: Agent = "",
    session: Session = "",
    *,
    tokens: Count = None,
    usd: Annotated[str, typer.Option(metavar="AMOUNT", help="US dollars, such as 2.50.")] = "",
    turns: Count = None,
    tool_calls: Count = None,
    zone: Annotated[str, typer.Option("--time-zone", help="Where days begin; UTC if unset.")] = "",
    as_json: Json = False,
) -> None:
    """Set a budget: the tenant's for each day, unless an agent or a session is named."""
    budget = Budget(tokens=tokens, turns=turns, tool_calls=tool_calls)
    if usd:
        budget.cost_nano_usd = _nano(usd)
    request = PutBudgetRequest(account=_account(agent, session), budget=budget, time_zone=zone)

    async def work(client: Client) -> AccountBudget:
        return (await client.budgets.PutBudget(request)).budget

    found = call(work)
    if as_json:
        print_json(found)
    else:
        print_text(f"{_whose(found.account)}: {_words(found)}")


@app.command("list")
def list_budgets(*, as_json: Json = False) -> None:
    """List budgets and what is spent of them."""

    async def work(client: Client) -> list[AccountBudget]:
        found: list[AccountBudget] = []
        request = ListBudgetsRequest(page_size=_PAGE)
        while True:
            page = await client.budgets.ListBudgets(request)
            found += page.budgets
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    found = call(work)
    if as_json:
        for budget in found:
            print_json(budget)
        return
    rows = [(_whose(b.account), b.day or b.time_zone or "for good", _words(b)) for b in found]
    empty = "no budgets; `pentad budget set --tokens 1000000` bounds a day"
    print_rows(("BUDGET OF", "DAY", "SPENT OF ALLOWED"), rows, empty)


@app.command("delete")
def delete_budget(agent: Agent = "", session: Session = "") -> None:
    """Lift a budget: the tenant's, unless an agent or a session is named."""
    account = _account(agent, session)

    async def work(client: Client) -> None:
        await client.budgets.DeleteBudget(DeleteBudgetRequest(account=account))

    call(work)
    print_text(f"{_whose(account)}: unbounded")


@app.command("reservations")
def list_reservations(*, as_json: Json = False) -> None:
    """List calls of models that are not settled: under way, or charged for nobody knows."""

    async def work(client: Client) -> list[Reservation]:
        found: list[Reservation] = []
        request = ListReservationsRequest(page_size=_PAGE)
        while True:
            page = await client.budgets.ListReservations(request)
            found += page.reservations
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    found = call(work)
    if as_json:
        for reservation in found:
            print_json(reservation)
        return
    rows = [
        (
            r.reservation_id,
            "charged" if r.unsettled else "under way",
            f"{r.amounts.tokens} tokens, {dollars(r.amounts.cost_nano_usd)}",
        )
        for r in found
    ]
    print_rows(("RESERVATION", "STATE", "AMOUNT"), rows, "every call is settled")


def _account(agent: str, session: str) -> Account:
    if agent and session:
        raise typer.BadParameter("name an agent or a session, not both")
    if agent:
        return Account(scope=Account.SCOPE_AGENT, name=agent)
    if session:
        return Account(scope=Account.SCOPE_SESSION, name=session)
    return Account(scope=Account.SCOPE_TENANT)


def _nano(amount: str) -> int:
    try:
        return int((Decimal(amount) * _NANO).to_integral_value(ROUND_CEILING))
    except (InvalidOperation, ValueError, OverflowError):
        raise typer.BadParameter(f"{amount!r} is no amount of dollars") from None


def _whose(account: Account) -> str:
    scope = Account.Scope.Name(account.scope).removeprefix("SCOPE_").lower()
    return f"{scope} {account.name}".strip()


def _words(found: AccountBudget) -> str:
    limit, spent, held = found.budget, found.spent, found.reserved
    parts: list[str] = []
    if limit.HasField("tokens"):
        parts.append(f"{spent.tokens}/{limit.tokens} tokens")
    if limit.HasField("cost_nano_usd"):
        parts.append(f"{dollars(spent.cost_nano_usd)}/{dollars(limit.cost_nano_usd)}")
    if limit.HasField("turns"):
        parts.append(f"{spent.turns}/{limit.turns} turns")
    if limit.HasField("tool_calls"):
        parts.append(f"{spent.tool_calls}/{limit.tool_calls} tool calls")
    if held != Amounts():
        parts.append(f"{held.turns} turns under way")
    return ", ".join(parts)
