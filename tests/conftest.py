"""Fixtures of the system tests: whole suites, in one process and in five; and for all, patience."""

import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from harness.suite import ALONE, TOPOLOGIES, UNHURRIED, Kit, Suite, example_agents
from hypothesis import HealthCheck, settings

# A shell that runs tests in the background has them ignore Ctrl-C, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ.update(UNHURRIED)
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

SOON = {
    "PENTAD_ORCHESTRATOR_LEASE_S": "1.5",
    "PENTAD_ORCHESTRATOR_JOB_LEASE_S": "1.5",
    "PENTAD_TOOLS_HOLD_S": "0.5",
}
"""What a dead process held is known to be free sooner than by default."""


@pytest.fixture(scope="session", params=TOPOLOGIES)
def suite(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Suite]:
    """A suite that tests share: they leave it as healthy as they found it."""
    topology, _, alone = request.param.partition("-")
    data_dir = tmp_path_factory.mktemp(request.param) / "data"
    shared = Suite(topology, data_dir, ALONE if alone else None)
    shared.start()
    yield shared
    assert shared.is_running, f"the shared suite ended:\n{shared.tail_of_log()}"
    assert shared.stop() == 0


@pytest.fixture
async def kit(suite: Suite) -> AsyncIterator[Kit]:
    """The shared suite's public API, with the agents of the examples applied."""
    async with suite.open() as opened:
        await opened.apply(*example_agents())
        yield opened


@pytest.fixture(params=TOPOLOGIES)
def new_suite(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Suite]]:
    """Makes suites that tests may kill, with an environment of their own."""
    made: list[Suite] = []

    def make(**environment: str) -> Suite:
        made.append(Suite(request.param, tmp_path / f"data-{len(made)}", environment))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        if each.is_running:
            each.kill9()


@pytest.fixture(scope="session")
def five(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A suite of five processes that tests share, each of which they may kill."""
    shared = Suite("five", tmp_path_factory.mktemp("mortal") / "data", SOON)
    shared.start()
    yield shared
    assert shared.stop() == 0
