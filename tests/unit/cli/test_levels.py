"""Health, said to people."""

import io

from rich.console import Console

from pentad.chassis.v1.status_service_pb2 import (
    LEVEL_DEGRADED,
    LEVEL_HEALTHY,
    LEVEL_UNHEALTHY,
    Condition,
    ServiceStatus,
)
from pentad.gateway.v1.system_service_pb2 import GetSystemStatusResponse
from pentad_cli.levels import complaints, level_word, picture, rows

WELL = ServiceStatus(
    service="state",
    instance="abc",
    level=LEVEL_HEALTHY,
    conditions=[Condition(name="store", level=LEVEL_HEALTHY)],
)
WELL.start_time.FromSeconds(1_800_000_000)
WEAK = ServiceStatus(
    service="orchestrator",
    instance="def",
    level=LEVEL_DEGRADED,
    conditions=[
        Condition(name="runs", level=LEVEL_HEALTHY),
        Condition(name="peer state", level=LEVEL_DEGRADED, reason="circuit open"),
        Condition(name="leases", level=LEVEL_DEGRADED, reason="not renewed\x1b[31m (UNAVAILABLE)"),
    ],
)


def test_only_what_is_wrong_is_said() -> None:
    assert complaints(WELL) == []
    assert complaints(WEAK) == [
        "peer state: circuit open",
        "leases: not renewed [31m (UNAVAILABLE)",
    ]


def test_a_row_holds_one_replica() -> None:
    well, weak = rows([WELL, WEAK])

    assert (well[0], well[1], well[2], well[4]) == ("state", "abc", "healthy", "")
    assert well[3].startswith("2027-01-1")
    assert weak[3:] == ("-", "peer state: circuit open; leases: not renewed [31m (UNAVAILABLE)")


def test_a_picture_shows_the_whole_and_every_part() -> None:
    found = GetSystemStatusResponse(level=LEVEL_UNHEALTHY, services=[WEAK, WELL])
    console = Console(file=io.StringIO(), width=120)
    console.print(picture(found, "here:1"))
    text = console.file.getvalue()  # type: ignore[attr-defined]

    assert text.startswith("the suite at here:1 is unhealthy")
    assert level_word(LEVEL_UNHEALTHY) == "unhealthy"
    for word in ("SERVICE", "orchestrator", "def", "degraded", "circuit open", "state", "abc"):
        assert word in text
