"""`pentad up`: run a suite here until Ctrl-C."""

import os
from pathlib import Path
from typing import Annotated

import typer

from pentad_allinone.layout import DEFAULT_ADDRESS, ONE_EACH, Layout, SuiteUnusable, claim_layout
from pentad_allinone.replicas import parse_replicas
from pentad_allinone.serve import serve
from pentad_cli.failure import CommandFailed
from pentad_cli.output import print_flushed


def up(
    data_dir: Annotated[
        Path, typer.Option(envvar="PENTAD_DATA_DIR", help="What outlives the suite.")
    ] = Path(".pentad"),
    address: Annotated[
        str, typer.Option(envvar="PENTAD_ADDRESS", help="Where the gateway listens.")
    ] = DEFAULT_ADDRESS,
    files: Annotated[
        Path | None,
        typer.Option(envvar="PENTAD_TOOLS_DATA_DIR", help="Folder whose files tools may read."),
    ] = None,
    *,
    processes: Annotated[
        bool, typer.Option("--processes", help="Five processes instead of one.")
    ] = False,
    replicas: Annotated[
        str | None,
        typer.Option(
            metavar="SERVICE=NUMBER,…",
            help="Processes, several of some services: executor=2,orchestrator=2.",
        ),
    ] = None,
) -> None:
    """Run a suite on this machine, with its own store, until Ctrl-C."""
    counts = ONE_EACH if replicas is None else parse_replicas(replicas)
    processes = processes or replicas is not None
    try:
        with claim_layout(data_dir, address, files, counts) as layout:
            print_flushed(f"pentad: starting, data in {layout.data_dir}")
            serve(layout, processes=processes, ready=lambda: _say_ready(layout, processes))
    except SuiteUnusable as error:
        raise CommandFailed(str(error), error.advice) from None
    print_flushed("pentad: stopped")


def _say_ready(layout: Layout, processes: bool) -> None:  # noqa: FBT001 - one caller
    count = sum(layout.counts.values()) if processes else 1
    how = {1: "one process", 5: "five processes"}.get(count, f"{count} processes")
    print_flushed(f"pentad: ready at {layout.address} ({how}); Ctrl-C stops it")
    print_flushed(f"pentad: the key is in {_shown(layout.api_key_file)}")
    print_flushed("pentad: now, in another terminal:")
    settings = []
    if layout.address != DEFAULT_ADDRESS:
        settings.append(f"PENTAD_ADDRESS={layout.address}")
    if _shown(layout.api_key_file) != ".pentad/api-key":
        settings.append(f"PENTAD_API_KEY_FILE={_shown(layout.api_key_file)}")
    for command in ("agent apply -f examples/agents/clock.yaml", 'run clock "What time is it?"'):
        print_flushed("  " + " ".join((*settings, "pentad", command)))


def _shown(path: Path) -> str:
    """Return the path as short as it can be named from here."""
    relative = os.path.relpath(path)
    return relative if not relative.startswith("..") else str(path)
