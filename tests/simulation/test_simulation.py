"""Whatever befalls a suite, no run is lost, no effect comes twice and no journal is rewritten."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from simulation.stored import Rules
from simulation.world import Broken, check, simulate

ROOT = Path(__file__).parents[2]
PARTS, SEEDS = 8, 64
"""A few seconds; `make test-sim SEEDS=2000` plays more."""

played = cache(check)


@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_is_lost_and_nothing_happens_twice(part: int) -> None:
    for seed in range(part, SEEDS, PARTS):
        played(seed)


def test_simulations_are_full_of_trouble() -> None:
    """A simulation in which nothing goes wrong would prove nothing."""
    notes = "\n".join(note for seed in range(0, SEEDS, 3) for note in played(seed).notes)

    for sign in (
        "from the dead",  # a run whose owner's lease ran out
        "released",
        "turn_restarted",
        "effect_unknown",
        "run_paused",
        "run_resumed",
        "run_completed",
        "run_cancelled",
        " waits for ",  # a run whose turn in its session has not come
        "session_entered",
        "run_waiting",
        "approval_decided",
        "approval_expired",
        "timer_fired",
        "child_ended",
    ):
        assert sign in notes


def test_a_seed_means_the_same_each_time() -> None:
    assert simulate(4).notes == played(4).notes


def test_a_seed_means_the_same_in_every_process() -> None:
    """Also where sets have another order, or what is told of a seed could not be seen again."""
    program = "from simulation.world import simulate; print(*(simulate(n).digest for n in (1, 5)))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests"), "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout.split() == [played(1).digest, played(5).digest]


@pytest.mark.parametrize(
    ("rules", "first"),
    [(Rules(fence=False), 31), (Rules(begin=False), 0), (Rules(attempts=False), 0)],
    ids=["fence", "begin", "attempts"],
)
def test_a_store_that_breaks_a_rule_is_found_out(rules: Rules, first: int) -> None:
    """Soon, if the search begins well; sooner or later wherever it begins."""

    def search() -> None:
        for seed in range(first, first + 200):
            check(seed, rules)

    with pytest.raises(Broken, match=r"seed \d+:"):
        search()
