"""Calls that are repeated while the suite is away or has too much to do."""

import pytest

import pentad_cli.persist
from pentad_chassis.errors import (
    CircuitOpen,
    NotFound,
    ResourceExhausted,
    ServiceError,
    Unavailable,
)
from pentad_cli.persist import pause_after, persist


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pentad_cli.persist, "_PAUSE_S", (0.0, 0.0))


class Suite:
    """Ends its calls as the script says, and then answers."""

    def __init__(self, *script: ServiceError) -> None:
        self.script = list(script)

    async def call(self) -> str:
        if self.script:
            raise self.script.pop(0)
        return "answer"


def asking_to_wait(error: ServiceError, seconds: float) -> ServiceError:
    error.retry_after_s = seconds
    return error


def draining() -> Unavailable:
    error = Unavailable("another replica answers")
    error.reason = "DRAINING"
    return error


async def test_what_passes_is_waited_out() -> None:
    overloaded = asking_to_wait(ResourceExhausted("too many"), 0.001)
    suite = Suite(overloaded, draining(), Unavailable("gone"), CircuitOpen("gateway", 0.001))

    assert await persist(suite.call) == "answer"


@pytest.mark.parametrize("error", [NotFound("no run 'r'"), ResourceExhausted("too large")])
async def test_what_time_does_not_heal_is_said_at_once(error: ServiceError) -> None:
    suite = Suite(error, Unavailable("never met"))

    with pytest.raises(type(error)):
        await persist(suite.call)

    assert len(suite.script) == 1


async def test_a_suite_that_was_never_there_is_not_waited_for() -> None:
    with pytest.raises(Unavailable):
        await persist(Suite(Unavailable("nobody")).call, known=False)


async def test_a_suite_that_said_no_is_there() -> None:
    suite = Suite(draining(), Unavailable("gone"))

    assert await persist(suite.call, known=False) == "answer"


async def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pentad_cli.persist, "PATIENCE_S", 0.01)

    async def never() -> str:
        raise Unavailable("gone for good")

    with pytest.raises(Unavailable, match="for good"):
        await persist(never)


def test_a_pause_is_as_long_as_the_suite_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pentad_cli.persist, "_PAUSE_S", (0.05, 0.5))

    assert pause_after(asking_to_wait(Unavailable("gone"), 7.0)) == 7.0
    assert 0.05 <= pause_after(Unavailable("gone")) <= 0.5
