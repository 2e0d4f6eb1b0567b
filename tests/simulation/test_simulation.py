"""Whatever befalls a suite, no run is lost, no effect comes twice and no journal is rewritten."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from simulation.store import Rules
from simulation.world import Broken, check, simulate

ROOT = Path(__file__).parents[2]
SEEDS = 80
"""A few seconds; `make test-sim SEEDS=2000` plays more."""


@pytest.mark.parametrize("part", range(8))
def test_nothing_is_lost_and_nothing_happens_twice(part: int) -> None:
    for seed in range(part, SEEDS, 8):
        check(seed)


def test_simulations_are_full_of_trouble() -> None:
    """A simulation in which nothing goes wrong would prove nothing."""
    notes = "\n".join(note for seed in range(12) for note in simulate(seed).notes)

    for sign in (
        "from the dead",  # a run whose owner's lease ran out
        "released",
        "turn_restarted",
        "effect_unknown",
        "run_paused",
        "run_resumed",
        "run_completed",
        "run_cancelled",
    ):
        assert sign in notes


def test_a_seed_means_the_same_in_every_process() -> None:
    """Also where sets have another order, or what is told of a seed could not be seen again."""
    assert digests("1") == digests("2")


@pytest.mark.parametrize("rules", [Rules(fence=False), Rules(begin=False)], ids=["fence", "begin"])
def test_a_store_that_breaks_a_rule_is_found_out(rules: Rules) -> None:
    with pytest.raises(Broken, match=r"seed \d+:"):
        for seed in range(200):
            check(seed, rules)


def digests(hash_seed: str) -> list[str]:
    program = "from simulation.world import simulate; print(*(simulate(n).digest for n in (4, 19)))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests"), "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.split()
