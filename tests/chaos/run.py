"""A run of the chaos, from its first process to its verdict.

It has two acts: one on a store of one server, one on a store behind sentinels.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from chaos.agents import IDLER, agents
from chaos.book import Book
from chaos.client import Caller
from chaos.injector import Injector
from chaos.judge import Findings, Judge, pickup_s
from chaos.ledger import REFUSED
from chaos.persistence import Deadline, persist
from chaos.person import Person
from chaos.schedule import plan
from chaos.stage import SILENCE_S, Stage, open_stage
from harness.builders import ask
from harness.suite import Kit
from pydantic import SecretStr

from pentad_cli.connection import Client, Connection, open_client

_ACTS = 2
_START_S = 60.0
_HEAL_S = 90.0
"""After the last blow everything has to come to its end within this time."""

_JUDGE_S = 90.0
_IDLE_RUNS = 20
_TELL_S = 10.0


@dataclass(frozen=True)
class Order:
    """What is wanted."""

    seconds: float
    seed: int
    clients: int = 8
    lease_s: float = 2.5


@dataclass
class Outcome:
    """What came of it."""

    order: Order
    injections: Counter[str]
    missed: int
    """Blows that met a process that was dead at the moment."""

    settled: int
    """Calls of which a person had to say whether they took place."""

    refused: int
    """Parcels that the carrier had already, sent again by a runner that had been asleep."""

    idle_pickups_s: list[float]
    """Of runs before the first blow, one after the other."""

    findings: Findings

    def add(self, other: "Outcome") -> None:
        """Take in another act of the same order."""
        self.injections.update(other.injections)
        self.missed += other.missed
        self.settled += other.settled
        self.refused += other.refused
        self.idle_pickups_s += other.idle_pickups_s
        self.findings.add(other.findings)

    @property
    def right(self) -> bool:
        """Whether every promise was kept."""
        return not any(self.findings.wrong().values())


async def carry_out(
    order: Order, folder: Path, tell: Callable[[str], None] = lambda _: None
) -> Outcome:
    """Have it all happen in a folder, within a bound that follows from the order."""
    outcome = await _act(order, folder / "1", tell, sentinels=False)
    outcome.add(await _act(order, folder / "2", tell, sentinels=True))
    return outcome


async def _act(
    order: Order, folder: Path, tell: Callable[[str], None], *, sentinels: bool
) -> Outcome:
    async with (
        open_stage(folder, order.lease_s, sentinels=sentinels) as stage,
        open_public(stage) as one,
        open_public(stage) as other,
    ):
        tell("sentinels" if sentinels else "one server")
        await prepare(one)
        idle = await _pickups_idle(one)
        book, injector = Book(), Injector(stage)
        await _strike_under_load(order, book, injector, (one, other), stage, tell)
        tell("judging")
        judge = Judge(one, book, stage.ledger, injector.blows, Deadline(_JUDGE_S))
        findings = await judge.judge()
        findings.deaths += [d for replica in stage.replicas.values() for d in replica.deaths]
        return Outcome(
            order=order,
            injections=injector.by_kind,
            missed=injector.missed,
            settled=sum(len(entry.settled) for entry in book.entries),
            refused=stage.ledger.count()[REFUSED].total(),
            idle_pickups_s=idle,
            findings=findings,
        )


@asynccontextmanager
async def open_public(stage: Stage) -> AsyncIterator[Client]:
    """Connect to the public API, on both gateways."""
    connection = Connection(
        address=stage.address,
        api_key=SecretStr(stage.key),
        breaker_reset_s=0.5,
        silence_s=SILENCE_S,
    )
    async with open_client(connection) as client:
        yield client


async def prepare(client: Client) -> None:
    """Return once the suite works."""
    await persist(Deadline(_START_S), lambda: Kit(client).apply(*agents()))
    bound = Deadline(_START_S)
    await persist(bound, lambda: Kit(client).execute(ask(IDLER), "first"))


async def _strike_under_load(
    order: Order,
    book: Book,
    injector: Injector,
    clients: tuple[Client, Client],
    stage: Stage,
    tell: Callable[[str], None],
) -> None:
    person = Person(stage, book)
    seconds = order.seconds / _ACTS
    schedule = plan(order.seed, seconds, stage.targets, order.lease_s)
    until, bound = Deadline(seconds), Deadline(seconds + _HEAL_S)
    async with asyncio.TaskGroup() as group:
        telling = group.create_task(_tell_on(book, injector, tell))
        async with asyncio.TaskGroup() as work:
            work.create_task(injector.carry_out(schedule))
            for number in range(order.clients):
                client = clients[number % 2]
                caller = Caller(client, book, person, f"client{number}", order.seed)
                work.create_task(caller.work(until, bound))
        telling.cancel()


async def _tell_on(book: Book, injector: Injector, tell: Callable[[str], None]) -> None:
    while True:
        await asyncio.sleep(_TELL_S)
        ended = sum(entry.ended for entry in book.entries)
        tell(f"{len(injector.blows)} injections, {len(book.entries)} runs, {ended} ended")


async def _pickups_idle(client: Client) -> list[float]:
    kit = Kit(client)
    found = [await kit.execute(ask(IDLER), f"idle{n}") for n in range(_IDLE_RUNS)]
    return [pickup_s(events) for events in found]
