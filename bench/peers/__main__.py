"""`python -m bench.peers`: measure the suite beside what its users could pick instead.

All are up at the same time and take turns inside each round, so that whatever else the machine
does falls on all of them. Compare ratios: absolute times do not travel. A peer that is not
installed is left out, and the reason said.
"""

import argparse
import asyncio
import signal
import sys
import time
from dataclasses import replace

import grpc
import uvloop

from bench.load import Sample, System, WrongAnswer, measure
from bench.peers.peer import Peer, Work, versions
from bench.peers.results import Results
from bench.peers.stage import OUT, PEERS, open_peers
from bench.peers.trees import cpu_s, memory_mb
from bench.processes import ROOT, ProcessDied

_STOPPED = 130
_WARM_UP_S = 1.0
_WARM_UP_IN_FLIGHT = 16
_FAILURES = (ProcessDied, WrongAnswer, grpc.aio.AioRpcError, OSError, EOFError, TimeoutError)


def main() -> int:
    """Return 0, or 1 when a system could not be measured, or 130 when stopped before the end."""
    try:
        return _bench(_arguments())
    except (KeyboardInterrupt, asyncio.CancelledError):
        return _STOPPED


def _bench(arguments: argparse.Namespace) -> int:
    try:
        results = uvloop.run(_measured(arguments))
    except* _FAILURES as failures:
        failure = failures
    else:
        return _publish(results)
    sys.stderr.write(f"bench: {_first(failure)}\n")
    return 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each cell (3)")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a turn (3)")
    parser.add_argument(
        "--concurrency", type=_counts, default=[1, 16, 64], help="runs in flight (1,16,64)"
    )
    parser.add_argument("--only", nargs="+", choices=PEERS, default=list(PEERS), help="whom (all)")
    return parser.parse_args()


def _counts(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


async def _measured(arguments: argparse.Namespace) -> Results:
    task = asyncio.current_task()
    assert task is not None, "a coroutine runs in a task"
    # As Ctrl-C does by itself: what was started must end, whoever ends this.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with open_peers(arguments.only) as peers:
        results = Results(peers, {**vars(arguments), "versions": versions()})
        for peer in peers:
            for work in peer.runs:
                await _sample(peer, work, _WARM_UP_IN_FLIGHT, _WARM_UP_S)
        for number in range(arguments.rounds):
            first = number % len(peers)  # so that none always follows the same other
            results.begin_round()
            for work in Work:
                for in_flight in arguments.concurrency:
                    for peer in (*peers[first:], *peers[:first]):
                        if work in peer.runs:
                            sample = await _sample(peer, work, in_flight, arguments.seconds)
                            results.add(work, peer.name, in_flight, sample)
            _progress(f"round {number + 1} of {arguments.rounds}")
        for peer in peers:
            results.add_memory(peer.name, memory_mb(peer.processes))
    return results


async def _sample(peer: Peer, work: Work, in_flight: int, seconds: float) -> Sample:
    before = cpu_s(peer.processes)
    sample = await measure(System(peer.name, peer.runs[work], {}), in_flight, seconds)
    used = {role: now - before[role] for role, now in cpu_s(peer.processes).items()}
    own = {role: 1e6 * used_s / sample.runs for role, used_s in used.items()}
    return replace(sample, cpu_us=sample.cpu_us | own)


def _publish(results: Results) -> int:
    for line in results.lines():
        print(line)
    file = OUT / f"peers-{time.strftime('%Y%m%d-%H%M%S')}.json"
    results.write(file)
    print(f"\nEvery sample: {file.relative_to(ROOT)}")
    return 0


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"{line}\n")


def _first(failures: BaseExceptionGroup[Exception]) -> BaseException:
    """Return the first failure itself, without the groups around it."""
    failure: BaseException = failures
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure


if __name__ == "__main__":
    sys.exit(main())
