"""Replicas on one host: by their unix sockets as one target, or behind a port that they share."""

from functools import partial
from pathlib import Path

import pytest
from harness.suite import free_port, until
from integration.chassis.peer import WITHIN_S, Caller, Replica, calling, load, replicas, target

from pentad.chassis.v1 import status_service_pb2 as pb
from pentad_chassis.config import Settings
from pentad_chassis.link import links as links_module
from pentad_chassis.peers import Enquiry
from pentad_chassis.server import AddressInUse, serving
from pentad_chassis.telemetry import Telemetry, silent_telemetry

DRAIN_S = 0.5
"""In which callers hear that a replica leaves, as docs/resilience.md has it."""


async def test_sockets_share_the_calls_and_come_and_go_without_losing_one(
    tmp_path: Path, link: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links_module, "_ANEW_S", 0.3)
    async with replicas(3, tmp_path, drain_delay_s=DRAIN_S) as (first, second, third):
        await first.start()
        await second.start()
        async with calling(target([first, second, third]), link=link) as caller:
            both, all_three = [first, second], [first, second, third]
            await until(partial(shared, caller, both), WITHIN_S, "two share the calls")
            async with load(caller, 4) as ended:
                await third.start()
                await until(partial(shared, caller, all_three), WITHIN_S, "the third has its share")
                await first.stop()
                left = [second, third]
                await until(partial(shared, caller, left), WITHIN_S, "two are left")
            assert set(ended) == {"well"}


async def shared(caller: Caller, among: list[Replica]) -> bool:
    """Whether each of them takes some of some calls."""
    before = [replica.entries.calls for replica in among]
    for _ in range(20 * len(among)):
        await caller.put()
    return all(each.entries.calls > b for each, b in zip(among, before, strict=True))


async def test_each_socket_is_asked_how_it_is(tmp_path: Path) -> None:
    async with replicas(2, tmp_path, drain_grace_s=0.0) as (one, away):
        await one.start()

        found = await Enquiry("caller", "peer", target([one, away]), None)(0, 5.0)

        assert [status.level for status in found] == [pb.LEVEL_HEALTHY, pb.LEVEL_UNHEALTHY]
        assert found[1].instance == away.address
        assert found[1].conditions[0].reason == "cannot be reached"


def sharing(folder: Path, name: str, port: int) -> tuple[Settings, Telemetry]:
    own, shared_address = f"unix:{folder}/{name}", f"127.0.0.1:{port}"
    settings = Settings(address=own, shared_address=shared_address, drain_grace_s=0.0)
    return settings, silent_telemetry(name)


async def test_those_who_share_a_port_all_get_connections(tmp_path: Path) -> None:
    port = free_port()
    (a, says_a), (b, says_b) = sharing(tmp_path, "a", port), sharing(tmp_path, "b", port)
    async with serving(a, says_a, []), serving(b, says_b, []):
        names = {says_a.health.instance, says_b.health.instance}
        reached: set[str] = set()

        async def each_was_reached() -> bool:
            found = await Enquiry("caller", "peer", f"127.0.0.1:{port}", None)(0, 5.0)
            reached.update(status.instance for status in found)
            return names <= reached

        await until(each_was_reached, WITHIN_S, "connections go to both")
        assert reached == names


async def test_each_who_shares_a_port_is_reached_at_an_address_of_its_own(tmp_path: Path) -> None:
    port = free_port()
    (a, says_a), (b, says_b) = sharing(tmp_path, "a", port), sharing(tmp_path, "b", port)
    async with serving(a, says_a, []), serving(b, says_b, []):
        for settings, telemetry in ((a, says_a), (b, says_b)):
            (found,) = await Enquiry("caller", "peer", settings.address, None)(0, 5.0)
            assert found.instance == telemetry.health.instance


async def test_who_does_not_mean_to_share_is_refused(tmp_path: Path) -> None:
    port = free_port()
    settings, telemetry = sharing(tmp_path, "a", port)
    alone = Settings(address=f"127.0.0.1:{port}")
    async with serving(settings, telemetry, []):
        with pytest.raises(AddressInUse):
            async with serving(alone, silent_telemetry("b"), []):
                pass
        (found,) = await Enquiry("caller", "peer", alone.address, None)(0, 5.0)
        assert found.instance == telemetry.health.instance
