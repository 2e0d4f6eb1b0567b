"""Runs that may be what owners die of are kept apart, and nobody else waits."""

from asyncio import Event

import pytest

from pentad_orchestrator.plan import OWNERS_LOST_MAX
from pentad_orchestrator.trials import SUSPECT_FROM, Trials


@pytest.mark.parametrize("lost", [0, SUSPECT_FROM - 1, OWNERS_LOST_MAX])
def test_who_is_above_suspicion_or_given_up_never_waits(lost: int) -> None:
    trials = Trials()
    assert trials.may_begin(Event(), SUSPECT_FROM)

    assert trials.may_begin(Event(), lost)


def test_suspects_begin_one_after_the_other() -> None:
    trials, a, b, c = Trials(), Event(), Event(), Event()
    assert trials.may_begin(a, SUSPECT_FROM)
    assert trials.may_begin(a, SUSPECT_FROM), "it is on trial already"
    assert not trials.may_begin(b, SUSPECT_FROM)
    assert not trials.may_begin(c, OWNERS_LOST_MAX - 1)

    trials.over(a)

    assert (b.is_set(), c.is_set()) == (True, True)
    assert trials.may_begin(c, OWNERS_LOST_MAX - 1)
    assert not trials.may_begin(b, SUSPECT_FROM)


def test_who_leaves_the_line_ends_nobodys_trial_but_its_own() -> None:
    trials, a, b, c = Trials(), Event(), Event(), Event()
    assert trials.may_begin(a, SUSPECT_FROM)
    assert not trials.may_begin(b, SUSPECT_FROM)

    trials.over(b)
    trials.over(Event())
    assert not trials.may_begin(c, SUSPECT_FROM)
    trials.over(a)

    assert (b.is_set(), c.is_set()) == (False, True)
