"""A suite's places: private, short enough for sockets, and for one suite at a time."""

import socket
import stat
from pathlib import Path

import pytest

from pentad_allinone.layout import SERVICES, SuiteUnusable, claim_layout

ADDRESS = "127.0.0.1:0"


def test_the_sockets_are_private_and_gone_afterwards(tmp_path: Path) -> None:
    with claim_layout(tmp_path / "d", ADDRESS) as layout:
        assert stat.S_IMODE(layout.sockets.stat().st_mode) == 0o700
        assert stat.S_IMODE(layout.data_dir.stat().st_mode) == 0o700

    assert not layout.sockets.exists()


def test_a_deep_folder_still_has_short_socket_paths(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 60) / ("y" * 60)

    with claim_layout(deep, ADDRESS) as layout:
        assert all(len(f"{layout.sockets}/{service}") < 100 for service in SERVICES)
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
        settings = layout.settings("gateway")

        assert settings["address"] == ADDRESS
        assert settings["state_address"] == layout.settings("state")["address"]
        assert settings["orchestrator_address"] == f"unix:{layout.sockets}/orchestrator"
