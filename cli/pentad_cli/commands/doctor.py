"""`pentad doctor`: what is configured, what answers, what is unsafe."""

import asyncio

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pentad_cli.checks import Check, Verdict, check_key, check_settings, check_suite
from pentad_cli.connection import Connection
from pentad_cli.failure import CommandFailed

_STYLES = {Verdict.OK: "green", Verdict.NOTE: "yellow", Verdict.PROBLEM: "bold red"}


def doctor() -> None:
    """Check settings, key and suite as this environment names them; exit 1 on a problem."""
    checks = list(check_settings())
    connection = Connection.load()
    key = list(check_key(connection))
    checks += key
    if not any(check.what == "key" and check.verdict is Verdict.PROBLEM for check in key):
        checks += asyncio.run(check_suite(connection))
    _print(checks)
    problems = sum(check.verdict is Verdict.PROBLEM for check in checks)
    if problems:
        raise CommandFailed(f"{problems} {'problem' if problems == 1 else 'problems'}, see above")


def _print(checks: list[Check]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for check in checks:
        verdict = Text(check.verdict.value, _STYLES[check.verdict])
        table.add_row(verdict, check.what, Text(check.detail))
    console = Console(soft_wrap=True)
    if console.is_terminal:
        console.print(table)
        return
    for check in checks:
        console.print(f"{check.verdict.value}\t{check.what}\t{check.detail}", markup=False)
