"""Services end under load, in order or not: clients that repeat what they may miss nothing."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from harness.customers import Customers
from harness.pairs import REPLICAS, Pairs, open_kit, open_pairs
from harness.suite import Suite, until
from harness.wired import SERVICES

pytestmark = [pytest.mark.system, pytest.mark.long]

CUSTOMERS = 4


@pytest.mark.parametrize("victim", SERVICES)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
async def test_the_only_replica_of_a_service_ends(
    five: Suite, victim: str, number: signal.Signals
) -> None:
    """All that clients see meanwhile says that they may try again; so they do, and all is done."""
    async with five.open() as kit:
        customers = Customers(kit, f"{victim}-{number.name.lower()}")
        async with customers.working(CUSTOMERS):
            await customers.more(CUSTOMERS)
            (before,) = five.children(f"pentad_{victim} ")

            five.signal_child(before, number)

            async def is_back() -> bool:
                return any(pid != before for pid in five.children(f"pentad_{victim} "))

            await until(is_back, what=f"{victim} runs again")
            await customers.more(2 * CUSTOMERS)

    customers.check(five.notebooks)


@pytest.fixture
async def pairs(tmp_path: Path) -> AsyncIterator[Pairs]:
    async with open_pairs(tmp_path) as opened:
        yield opened


async def test_a_rolling_restart_of_all_replicas_fails_no_call(pairs: Pairs) -> None:
    async with open_kit(pairs) as kit:
        customers = Customers(kit, "rolling")
        async with customers.working(CUSTOMERS):
            for service in reversed(SERVICES):
                for replica in range(REPLICAS):
                    await customers.more(1)
                    await pairs.stop(service, replica)
                    await pairs.start(service, replica)
            await customers.more(CUSTOMERS)

    assert customers.errors == []
    customers.check(pairs.folder / "notebooks")
