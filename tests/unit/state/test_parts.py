"""Part of the store may be away; what is asked of the rest is answered."""

import asyncio

import pytest

from pentad_state.errors import SeqConflict, StoreUnavailable
from pentad_state.parts import answers


async def here(answer: str) -> str:
    await asyncio.sleep(0)
    return answer


async def away() -> str:
    await asyncio.sleep(0)
    raise StoreUnavailable("its server is away")


async def silent() -> str:
    await asyncio.Event().wait()
    raise AssertionError


async def wrong() -> str:
    raise SeqConflict("run", 1, 2)


async def test_everybody_who_answers_is_heard() -> None:
    assert await answers({1: here("a"), 2: here("b")}) == {1: "a", 2: "b"}
    assert await answers({}) == {}


async def test_who_is_away_or_silent_is_gone_on_without() -> None:
    begun = set(asyncio.all_tasks())

    assert await answers({1: away(), 2: here("b"), 3: silent()}) == {2: "b"}

    await asyncio.sleep(0)
    assert asyncio.all_tasks() == begun, "nobody is waited for any more"


async def test_without_any_answer_the_store_is_away() -> None:
    with pytest.raises(StoreUnavailable):
        await answers({1: away(), 2: away()})


async def test_an_error_of_another_kind_is_nobodys_absence() -> None:
    with pytest.raises(SeqConflict):
        await answers({1: here("a"), 2: wrong()})


async def test_who_waits_for_all_takes_all_with_them() -> None:
    begun = set(asyncio.all_tasks())
    waiting = asyncio.create_task(answers({1: silent(), 2: silent()}))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    await asyncio.sleep(0)
    assert asyncio.all_tasks() == begun
