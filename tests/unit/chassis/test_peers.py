"""What a service can tell of a peer without asking, and whom it asks."""

import asyncio
import socket

import grpc
import pytest

from pentad_chassis.breaker import Breaker, BreakerPolicy, Outcome
from pentad_chassis.clock import FakeClock
from pentad_chassis.health import HEALTHY, degraded
from pentad_chassis.peers import Enquiry, condition_of, replicas_of

READY = grpc.ChannelConnectivity.READY
AWAY = grpc.ChannelConnectivity.TRANSIENT_FAILURE
IDLE = grpc.ChannelConnectivity.IDLE


def opened(clock: FakeClock) -> Breaker:
    breaker = Breaker("executor", clock, BreakerPolicy(failures=1, reset_s=2.0))
    breaker.settle(breaker.permit(), Outcome.FAILED)
    return breaker


def test_a_peer_that_nobody_called_is_healthy() -> None:
    assert condition_of(Breaker("executor", FakeClock()), IDLE) == HEALTHY


def test_a_peer_that_cannot_be_reached_is_noticed_without_a_call() -> None:
    found = condition_of(Breaker("executor", FakeClock()), AWAY)

    assert found == degraded("cannot be reached, or does not serve")


def test_an_open_circuit_says_when_it_tries_again() -> None:
    clock = FakeClock()
    breaker = opened(clock)
    clock.advance(0.8)

    assert condition_of(breaker, READY) == degraded("circuit open, next attempt in 1.2 s")
    assert breaker.next_attempt_s == pytest.approx(1.2)


def test_a_circuit_whose_time_is_up_counts_by_its_connection() -> None:
    """A service with nothing to ask must not stay degraded until it has."""
    clock = FakeClock()
    breaker = opened(clock)
    clock.advance(2.0)

    assert condition_of(breaker, AWAY) == degraded("circuit open, the next call is an attempt")
    assert condition_of(breaker, READY) == HEALTHY


def test_a_half_open_circuit_is_degraded_until_its_probe_returns() -> None:
    clock = FakeClock()
    breaker = opened(clock)
    clock.advance(2.0)
    probe = breaker.permit()
    assert condition_of(breaker, READY) == degraded("circuit half open, one call tries the peer")

    breaker.settle(probe, Outcome.OK)
    assert condition_of(breaker, READY) == HEALTHY
    assert breaker.next_attempt_s == 0.0


@pytest.mark.parametrize(
    ("target", "replicas"),
    [
        ("unix:/tmp/x", ["unix:/tmp/x"]),
        ("unix:/tmp/x,/tmp/y", ["unix:/tmp/x", "unix:/tmp/y"]),
        ("unix:///tmp/x,/tmp/y", ["unix:/tmp/x", "unix:/tmp/y"]),
        ("127.0.0.1:50055", ["127.0.0.1:50055"]),
        ("[::1]:50055", ["[::1]:50055"]),
        ("10.0.0.1:1,10.0.0.2:2", ["10.0.0.1:1", "10.0.0.2:2"]),
        ("ipv4:10.0.0.1:1,10.0.0.2:2", ["ipv4:10.0.0.1:1", "ipv4:10.0.0.2:2"]),
        ("ipv6:[::1]:1", ["ipv6:[::1]:1"]),
        ("dns:///127.0.0.1:1", ["127.0.0.1:1"]),
    ],
)
async def test_a_target_names_its_replicas(target: str, replicas: list[str]) -> None:
    assert await replicas_of(target) == replicas


@pytest.mark.parametrize("target", ["state:50055", "dns:///state:50055"])
async def test_a_name_leads_to_every_address_it_has(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolve(host: str, port: str, **_: object) -> list[tuple[object, ...]]:
        assert host == "state"
        found = [("10.0.0.2", int(port)), ("10.0.0.1", int(port)), ("fd00::1", int(port), 0, 0)]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in found]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)

    assert await replicas_of(target) == [
        "ipv4:10.0.0.1:50055",
        "ipv4:10.0.0.2:50055",
        "ipv6:[fd00::1]:50055",
    ]


async def test_a_name_that_leads_nowhere_is_an_unhealthy_peer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise socket.gaierror

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", fail)

    (found,) = await Enquiry("gateway", "state", "nowhere:1", None)(0, 1.0)

    assert (found.service, found.instance) == ("state", "nowhere:1")
    assert found.conditions[0].name == "asked by gateway"
    assert found.conditions[0].reason == "its name cannot be resolved"
