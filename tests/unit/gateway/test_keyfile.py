"""The file of the first key, and the settings that stand in for it."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pentad_chassis.config import ConfigInvalid
from pentad_gateway.config import Config
from pentad_gateway.keyfile import others_may_read, read_or_create
from pentad_gateway.keys import generate_key, is_key


def test_a_new_key_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "api-key"

    assert is_key(read_or_create(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["api-key"]
    assert not others_may_read(path)


def test_a_key_that_is_there_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "api-key"
    key = generate_key()
    path.write_text(f"{key}\n")

    assert read_or_create(path) == key
    assert others_may_read(path)


def test_many_gateways_that_start_at_once_agree(tmp_path: Path) -> None:
    for attempt in range(20):
        path = tmp_path / str(attempt) / "api-key"
        with ThreadPoolExecutor(8) as threads:
            made = set(threads.map(read_or_create, [path] * 8))

        assert len(made) == 1
        assert [file.name for file in path.parent.iterdir()] == ["api-key"]


def test_a_file_that_holds_no_key_is_refused_without_its_content(tmp_path: Path) -> None:
    path = tmp_path / "api-key"
    path.write_text("s3cret")

    with pytest.raises(ConfigInvalid) as raised:
        read_or_create(path)

    assert str(path) in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_a_file_that_cannot_be_made_is_a_problem_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigInvalid, match="File exists"):
        read_or_create(tmp_path / "file" / "api-key")


def test_a_configured_key_must_be_one_and_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    key = generate_key()
    monkeypatch.setenv("PENTAD_GATEWAY_API_KEY", key)
    assert key not in repr(Config.load())

    monkeypatch.setenv("PENTAD_GATEWAY_API_KEY", "s3cret")
    with pytest.raises(ConfigInvalid) as raised:
        Config.load()
    assert "PENTAD_GATEWAY_API_KEY" in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_an_empty_key_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENTAD_GATEWAY_API_KEY", "")

    assert Config.load().api_key is None
