"""What `--replicas` may say, and what is said about all else."""

import sys

import pytest

from pentad_allinone.layout import ONE_EACH
from pentad_allinone.replicas import ReplicasInvalid, parse_replicas


@pytest.mark.parametrize(
    ("text", "several"),
    [
        ("executor=2", {"executor": 2}),
        ("executor=1", {}),
        (" executor = 2 , state=64", {"executor": 2, "state": 64}),
    ],
)
def test_services_that_are_not_named_have_one(text: str, several: dict[str, int]) -> None:
    assert parse_replicas(text) == {**ONE_EACH, **several}


NO_SERVICE = "there is no such service; give SERVICE=NUMBER, of state, tools, executor, orchestr"
NO_NUMBER = "that is no number of processes; give executor=1 to executor=64"


@pytest.mark.parametrize(
    ("text", "part", "problem"),
    [
        ("", "''", NO_SERVICE),
        ("worker=2", "'worker=2'", NO_SERVICE),
        ("executor=2,", "''", NO_SERVICE),
        ("2", "'2'", NO_SERVICE),
        ("EXECUTOR=2", "'EXECUTOR=2'", NO_SERVICE),
        ("executor", "'executor'", NO_NUMBER),
        ("executor=", "'executor='", NO_NUMBER),
        ("executor=0", "'executor=0'", NO_NUMBER),
        ("executor=-1", "'executor=-1'", NO_NUMBER),
        ("executor=1.5", "'executor=1.5'", NO_NUMBER),
        ("executor=two", "'executor=two'", NO_NUMBER),
        ("executor=2=2", "'executor=2=2'", NO_NUMBER),
        ("executor=٢", "'executor=٢'", NO_NUMBER),
        ("executor=65", "'executor=65'", NO_NUMBER),
        ("executor=" + "9" * 5000, "'executor=999", NO_NUMBER),
        ("executor=2,executor=2", "'executor=2'", "executor is named twice; give one number"),
    ],
)
def test_what_is_wrong_is_named_with_what_would_be_right(
    text: str, part: str, problem: str
) -> None:
    with pytest.raises(ReplicasInvalid) as caught:
        parse_replicas(text)

    (said,) = caught.value.problems
    assert said.startswith(f"--replicas: {part}")
    assert problem in said


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ReplicasInvalid) as caught:
        parse_replicas("worker=2,executor=0,tools=2")

    assert len(caught.value.problems) == 2


def test_gateways_share_a_port_where_the_kernel_spreads_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")

    assert parse_replicas("gateway=1") == ONE_EACH
    with pytest.raises(ReplicasInvalid, match="--replicas: 'gateway=2': only Linux"):
        parse_replicas("gateway=2")
