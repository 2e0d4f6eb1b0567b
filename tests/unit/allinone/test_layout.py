"""A suite's places: private, short enough for sockets, and for one suite at a time."""

import socket
import stat
from pathlib import Path

import pytest

from pentad_allinone.layout import ONE_EACH, Replica, SuiteUnusable, claim_layout
from pentad_state.datadir import open_data_dir

ADDRESS = "127.0.0.1:0"


def test_the_sockets_are_private_and_gone_afterwards(tmp_path: Path) -> None:
    with claim_layout(tmp_path / "d", ADDRESS) as layout:
        assert stat.S_IMODE(layout.sockets.stat().st_mode) == 0o700
        assert stat.S_IMODE(layout.data_dir.stat().st_mode) == 0o700

    assert not layout.sockets.exists()


def test_a_deep_folder_still_has_short_socket_paths(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 60) / ("y" * 60)

    with claim_layout(deep, ADDRESS) as layout:
        assert len(f"{layout.sockets}/orchestrator.64") < 100
        assert stat.S_IMODE(layout.sockets.stat().st_mode) == 0o700
    assert not layout.sockets.exists()


def test_what_a_killed_suite_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "state").touch()

    with claim_layout(tmp_path, ADDRESS) as layout:
        assert list(layout.sockets.iterdir()) == []


def test_a_second_suite_on_the_folder_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    with (
        claim_layout(tmp_path, ADDRESS),
        pytest.raises(SuiteUnusable, match=rf"runs on {tmp_path} already \(process \d+, addr"),
        claim_layout(tmp_path, ADDRESS),
    ):
        pass

    with claim_layout(tmp_path, ADDRESS):
        pass


def test_an_address_in_use_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with (
            pytest.raises(SuiteUnusable, match=f"cannot listen on {address}: Address already in"),
            claim_layout(tmp_path, address),
        ):
            pass


def test_callers_are_told_where_their_callees_are(tmp_path: Path) -> None:
    with claim_layout(tmp_path, ADDRESS) as layout:
        settings = layout.settings(Replica("gateway"))

        assert settings["address"] == ADDRESS
        assert settings["state_address"] == layout.settings(Replica("state"))["address"]
        assert settings["orchestrator_address"] == f"unix:{layout.sockets}/orchestrator"


def test_callers_are_told_of_every_replica(tmp_path: Path) -> None:
    with claim_layout(tmp_path, ADDRESS, counts={**ONE_EACH, "executor": 3}) as layout:
        told = layout.settings(Replica("orchestrator"))["executor_address"]
        addresses = [layout.settings(each)["address"] for each in layout.replicas("executor")]

    names = [str(address).rpartition("/")[2] for address in addresses]
    assert names == ["executor", "executor.2", "executor.3"]
    assert told == ",".join(map(str, addresses)).replace(",unix:", ",")


def test_each_executor_is_known_by_an_address_of_its_own(tmp_path: Path) -> None:
    with claim_layout(tmp_path, ADDRESS, counts={**ONE_EACH, "executor": 2}) as layout:
        for replica in layout.replicas("executor"):
            settings = layout.settings(replica)
            assert settings["advertise_address"] == settings["address"]


def test_sockets_have_no_comma_in_their_path(tmp_path: Path) -> None:
    with claim_layout(tmp_path / "a,b", ADDRESS) as layout:
        assert "," not in str(layout.sockets)


TWO_GATEWAYS = {**ONE_EACH, "gateway": 2}


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return f"127.0.0.1:{probe.getsockname()[1]}"


def test_gateways_share_the_address_and_have_one_of_their_own(tmp_path: Path) -> None:
    address = free_address()
    with claim_layout(tmp_path, address, counts=TWO_GATEWAYS) as layout:
        settings = [layout.settings(each) for each in layout.replicas("gateway")]

        assert {each["shared_address"] for each in settings} == {address}
        assert [each["address"] for each in settings] == [
            f"unix:{layout.sockets}/gateway",
            f"unix:{layout.sockets}/gateway.2",
        ]


@pytest.mark.parametrize("counts", [ONE_EACH, TWO_GATEWAYS], ids=["one", "two"])
def test_another_suite_gets_no_share_of_the_address(tmp_path: Path, counts: dict[str, int]) -> None:
    """Neither before a gateway listens there nor afterwards, and no matter how many it has."""
    address = free_address()
    with (
        claim_layout(tmp_path / "a", address, counts=TWO_GATEWAYS),
        pytest.raises(SuiteUnusable, match=f"cannot listen on {address}: Address already in"),
        claim_layout(tmp_path / "b", address, counts=counts),
    ):
        pass

    with claim_layout(tmp_path / "b", address, counts=counts):
        pass


@pytest.mark.parametrize("address", ["127.0.0.1:0", "unix:/tmp/x", "gateway"])
def test_several_gateways_need_a_port(tmp_path: Path, address: str) -> None:
    with (
        pytest.raises(SuiteUnusable, match=f"several gateways cannot share {address}"),
        claim_layout(tmp_path, address, counts=TWO_GATEWAYS),
    ):
        pass


async def test_the_engine_is_found_where_the_state_service_has_it(tmp_path: Path) -> None:
    with claim_layout(tmp_path / "a b", ADDRESS) as layout:
        data_dir = layout.settings(Replica("state"))["data_dir"]
        async with open_data_dir(Path(data_dir)) as opened:
            assert layout.engine_url == opened.url


def test_an_engine_that_is_elsewhere_is_not_guessed_at(tmp_path: Path) -> None:
    with (
        claim_layout(tmp_path / ("x" * 90), ADDRESS) as layout,
        pytest.raises(SuiteUnusable, match="too long for several state services"),
    ):
        _ = layout.engine_url
