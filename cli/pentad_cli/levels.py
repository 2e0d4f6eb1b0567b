"""How the health of services is said to people."""

from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from pentad.chassis.v1.status_service_pb2 import (
    LEVEL_DEGRADED,
    LEVEL_HEALTHY,
    LEVEL_UNHEALTHY,
    Level,
    ServiceStatus,
)
from pentad.gateway.v1.system_service_pb2 import GetSystemStatusResponse
from pentad_cli.words import clip, local_time

HEADER = ("SERVICE", "INSTANCE", "LEVEL", "SINCE", "WHAT IS WRONG")
_STYLES = {LEVEL_HEALTHY: "green", LEVEL_DEGRADED: "yellow", LEVEL_UNHEALTHY: "bold red"}


def level_word(level: Level.ValueType) -> str:
    """Return `healthy` for LEVEL_HEALTHY, and so on."""
    return Level.Name(level).removeprefix("LEVEL_").lower()


def complaints(status: ServiceStatus) -> list[str]:
    """Return each condition that is not healthy, with its reason."""
    return [
        clip(f"{condition.name}: {condition.reason}")
        for condition in status.conditions
        if condition.level != LEVEL_HEALTHY
    ]


def rows(services: Sequence[ServiceStatus]) -> list[tuple[str, ...]]:
    """Return a row for each replica."""
    return [
        (
            clip(status.service),
            clip(status.instance),
            level_word(status.level),
            local_time(status.start_time),
            "; ".join(complaints(status)),
        )
        for status in services
    ]


def picture(found: GetSystemStatusResponse, address: str) -> Group:
    """Draw the suite for a terminal."""
    title = Text.assemble(
        f"the suite at {address} is ", (level_word(found.level), _STYLES.get(found.level, ""))
    )
    table = Table(*HEADER, box=None, pad_edge=False, header_style="bold")
    for status in found.services:
        service, instance, level, since, _ = rows([status])[0]
        table.add_row(
            *(Text(service), Text(instance), Text(level, _STYLES.get(status.level, ""))),
            *(since, Text("\n".join(complaints(status)))),
        )
    return Group(title, table)
