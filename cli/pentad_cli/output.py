"""What commands print: tables for people, tab-separated lines for pipes, JSON for programs."""

import json
import sys
from collections.abc import Iterable, Sequence

from google.protobuf import json_format
from google.protobuf.message import Message
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pentad_cli.words import clip, printable


def print_rows(header: Sequence[str], rows: Iterable[Sequence[str]], empty: str) -> None:
    """Print a table on a terminal, else one tab-separated line for each row, without header."""
    rows = list(rows)
    if not sys.stdout.isatty():
        for row in rows:
            print_text("\t".join(clip(cell, 1000) for cell in row))
        return
    if not rows:
        print_text(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(header):
        table.add_column(name, no_wrap=number == 0, overflow="fold")  # a cut name is of no use
    for row in rows:
        table.add_row(*(Text(clip(cell, 1000)) for cell in row))
    Console().print(table)


def print_json(message: Message) -> None:
    """Print a message as one line of JSON, with the field names of the protos."""
    print_text(json_format.MessageToJson(message, preserving_proto_field_name=True, indent=None))


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Print `name  value` lines, leaving out empty values."""
    shown = [(name, value) for name, value in fields if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        lines = printable(value).splitlines() or [""]
        print_text(f"{name:<{width}}  " + f"\n{'':<{width}}  ".join(lines))


def print_text(text: str) -> None:
    """Print text as it stands."""
    sys.stdout.write(f"{text}\n")


def as_plain(message: Message) -> dict[str, object]:
    """Return a message as plain values, for YAML."""
    plain: dict[str, object] = json.loads(
        json_format.MessageToJson(message, preserving_proto_field_name=True)
    )
    return plain


def print_flushed(text: str) -> None:
    """Print text that somebody may be waiting for."""
    print_text(text)
    sys.stdout.flush()
