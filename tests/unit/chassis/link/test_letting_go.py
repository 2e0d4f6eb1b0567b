"""A link that has ended leaves nothing behind: a new one is opened every few seconds."""

import gc
import weakref
from collections.abc import Iterator

import pytest
from harness.link_calls import HANDLERS, LONG_S, in_time
from harness.link_pair import Pair, open_pair


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    """Have cycles stay: by reference alone nothing is to hold a link."""
    gc.disable()
    yield
    gc.enable()


async def used(pair: Pair) -> None:
    """Make a call of each kind, one of which is left and could have gone on for long."""
    answered = pair.session.begin("/echo", b"x", LONG_S, ())
    await in_time(answered.answer())
    answered.leave()
    left = pair.session.begin("/count", b"1000", LONG_S, ())
    await in_time(left.read())
    left.leave()
    await pair.until_rested()


async def test_a_link_that_has_ended_is_let_go_of_at_once() -> None:
    async with open_pair(HANDLERS) as pair:
        await used(pair)
        session = weakref.ref(pair.session)
    del pair

    assert session() is None
