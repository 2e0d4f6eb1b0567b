"""The closed loop of callers."""

import asyncio
import time

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from bench.load import Run, RunFailed, System, TooSlow, WrongAnswer, measure, percentile
from bench.work import Work

SHORT_S = 0.001


def system(run: Run) -> System:
    return System("it", {Work.SIMPLE: run}, {})


def refusal(code: grpc.StatusCode) -> AioRpcError:
    return AioRpcError(code, Metadata(), Metadata(), details="no room")


async def test_every_caller_performs_a_run_at_least() -> None:
    done = 0
    all_began = asyncio.Event()

    async def run() -> None:
        nonlocal done
        done += 1
        if done == 5:
            all_began.set()
        await all_began.wait()

    taken = await measure(system(run), Work.SIMPLE, 5, SHORT_S)

    assert taken.runs == done >= 5
    assert taken.first_token_ms is None
    assert set(taken.cpu_us) == {"client"}


async def test_a_stream_tells_when_its_first_token_came() -> None:
    async def run() -> float:
        return time.perf_counter()

    taken = await measure(system(run), Work.SIMPLE, 1, SHORT_S)

    assert taken.first_token_ms is not None
    assert 0 <= taken.first_token_ms <= taken.p99_ms


async def test_a_run_that_is_refused_is_begun_again_and_counted() -> None:
    refused = False

    async def run() -> None:
        nonlocal refused
        if not refused:
            refused = True
            raise refusal(grpc.StatusCode.RESOURCE_EXHAUSTED)

    taken = await measure(system(run), Work.SIMPLE, 1, SHORT_S)

    assert taken.refused * taken.runs == pytest.approx(1)


@pytest.mark.parametrize("late", [TimeoutError(), refusal(grpc.StatusCode.DEADLINE_EXCEEDED)])
async def test_a_system_that_does_not_answer_in_time_has_no_figure(late: Exception) -> None:
    async def run() -> None:
        raise late

    with pytest.raises(TooSlow, match="it did not answer within 20 s"):
        await measure(system(run), Work.SIMPLE, 3, SHORT_S)


async def test_a_wrong_answer_ends_everything() -> None:
    async def run() -> None:
        raise WrongAnswer("42")

    with pytest.raises(WrongAnswer, match="42"):
        await measure(system(run), Work.SIMPLE, 1, SHORT_S)


async def test_an_error_says_whose_it_is() -> None:
    async def run() -> None:
        raise refusal(grpc.StatusCode.INTERNAL)

    with pytest.raises(RunFailed, match="it, Simple run: INTERNAL, it: no room"):
        await measure(system(run), Work.SIMPLE, 1, SHORT_S)


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([1.0, 2.0, 3.0], 1.0) == 3.0
    assert percentile([7.0], 0.99) == 7.0
