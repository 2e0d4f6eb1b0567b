"""What each strategy promises, whoever the instances are."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pentad.state.v1.agent_pb2 import Routing
from pentad_orchestrator.routing import Choices, Instance, choose

ROUND_ROBIN = Routing.ROUTING_ROUND_ROBIN
LEAST_BUSY = Routing.ROUTING_LEAST_BUSY
WEIGHTED = Routing.ROUTING_WEIGHTED
SESSION_AFFINITY = Routing.ROUTING_SESSION_AFFINITY
NEAREST_REGION = Routing.ROUTING_NEAREST_REGION

IDS = st.text("abcdefgh", min_size=1, max_size=4)


def fleets(least: int = 1) -> st.SearchStrategy[list[Instance]]:
    """Instances with ids of their own, in any order and condition."""
    instance = st.builds(
        Instance,
        instance_id=IDS,
        in_hand=st.integers(0, 20),
        room=st.integers(0, 20),
        weight=st.integers(1, 1000),
        region=st.sampled_from(["", "north", "south"]),
    )
    return st.lists(instance, min_size=least, max_size=8, unique_by=lambda i: i.instance_id)


def pick(
    routing: Routing.ValueType,
    instances: Sequence[Instance],
    choices: Choices | None = None,
    *,
    key: str = "key",
    region: str = "north",
) -> Instance:
    return choose(routing, instances, key, region, choices or Choices())


def picks(routing: Routing.ValueType, instances: Sequence[Instance], count: int) -> list[str]:
    choices = Choices()
    return [pick(routing, instances, choices).instance_id for _ in range(count)]


@given(st.sampled_from(sorted(Routing.values())), fleets(), st.text(max_size=4))
def test_every_strategy_chooses_one_of_those_there_are(
    routing: Routing.ValueType, instances: list[Instance], key: str
) -> None:
    assert pick(routing, instances, key=key) in instances


@given(st.sampled_from(sorted(Routing.values())), fleets(), st.randoms())
def test_the_order_in_which_instances_are_listed_makes_no_difference(
    routing: Routing.ValueType, instances: list[Instance], random: object
) -> None:
    shuffled = list(instances)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert picks(routing, instances, 10) == picks(routing, shuffled, 10)


@pytest.mark.parametrize("routing", [ROUND_ROBIN, Routing.ROUTING_UNSPECIFIED, 99])
def test_round_robin_is_also_what_an_unknown_strategy_means(routing: int) -> None:
    fleet = [Instance(name) for name in "abc"]

    assert picks(Routing.ValueType(routing), fleet, 6) == list("abcabc")


@given(fleets(), st.integers(1, 5))
def test_in_round_robin_each_has_as_many_turns_as_the_others(
    instances: list[Instance], rounds: int
) -> None:
    counts = Counter(picks(ROUND_ROBIN, instances, rounds * len(instances)))

    assert set(counts.values()) == {rounds}


def test_round_robin_goes_on_when_instances_come_and_go() -> None:
    a, b, c = (Instance(name) for name in "abc")
    choices = Choices()
    assert [pick(ROUND_ROBIN, [a, b], choices).instance_id for _ in range(3)] == list("aba")

    with_c = [pick(ROUND_ROBIN, [a, b, c], choices).instance_id for _ in range(3)]
    without_b = [pick(ROUND_ROBIN, [a, c], choices).instance_id for _ in range(3)]

    assert (with_c, without_b) == (list("cba"), list("cac"))


@given(fleets())
def test_least_busy_never_picks_a_fuller_one(instances: list[Instance]) -> None:
    chosen = pick(LEAST_BUSY, instances)

    assert all(chosen.fullness <= instance.fullness for instance in instances)


def test_least_busy_looks_at_room_and_not_at_numbers() -> None:
    assert pick(LEAST_BUSY, [Instance("a", 10, 100), Instance("b", 9, 10)]).instance_id == "a"
    assert pick(LEAST_BUSY, [Instance("a", 0, 0), Instance("b", 9, 10)]).instance_id == "b"


def test_those_equally_busy_take_turns() -> None:
    assert picks(LEAST_BUSY, [Instance(name) for name in "ab"], 4) == list("abab")


@given(fleets(), st.integers(1, 400))
def test_by_weight_nobody_is_ever_a_turn_ahead_of_its_share(
    instances: list[Instance], count: int
) -> None:
    """Smooth: that holds at every moment and not only in the end."""
    total = sum(instance.weight for instance in instances)
    counts = Counter(picks(WEIGHTED, instances, count))

    for instance in instances:
        share = count * instance.weight / total
        ahead = counts[instance.instance_id] - share
        assert -max(1, len(instances) - 1) < ahead < 1


def test_weights_are_met_exactly_over_a_whole_round_and_without_bursts() -> None:
    fleet = [Instance("a", weight=500), Instance("b", weight=100), Instance("c", weight=100)]

    assert picks(WEIGHTED, fleet, 7) == list("aacabaa")
    assert Counter(picks(WEIGHTED, fleet, 70)) == {"a": 50, "b": 10, "c": 10}


@given(fleets(least=2), st.lists(st.text(max_size=8), min_size=1, max_size=50), st.data())
def test_only_the_keys_of_a_lost_instance_move(
    instances: list[Instance], keys: list[str], data: st.DataObject
) -> None:
    lost = data.draw(st.sampled_from(instances))
    rest = [instance for instance in instances if instance is not lost]

    for key in keys:
        before = pick(SESSION_AFFINITY, instances, key=key)
        after = pick(SESSION_AFFINITY, rest, key=key)
        assert after is before or before is lost


def test_affinity_spreads_keys() -> None:
    fleet = [Instance(name) for name in "abcd"]
    counts = Counter(
        pick(SESSION_AFFINITY, fleet, key=f"session-{n}").instance_id for n in range(4000)
    )

    assert all(900 < counts[name] < 1100 for name in "abcd")


@given(fleets())
def test_a_near_one_with_room_is_preferred(instances: list[Instance]) -> None:
    near = [i for i in instances if i.region == "north" and i.in_hand < i.room]

    assert pick(NEAREST_REGION, instances) in (near or instances)


def test_near_ones_take_turns_and_far_ones_help_when_they_are_full() -> None:
    near = [Instance("a", region="north"), Instance("b", region="north")]
    full = [Instance("a", 1, 1, region="north"), Instance("b", 1, 1, region="north")]
    far = Instance("c", region="south")

    assert picks(NEAREST_REGION, [*near, far], 4) == list("abab")
    assert set(picks(NEAREST_REGION, [*full, far], 3)) == set("abc")


def test_what_is_remembered_of_those_gone_is_dropped() -> None:
    choices = Choices()
    for _ in range(4):
        pick(WEIGHTED, [Instance(name) for name in "ab"], choices)

    choices.forget_all_but({"b"})

    assert set(choices.last) == set(choices.credit) == {"b"}
