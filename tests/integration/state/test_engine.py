"""The embedded engine: one on a folder, whoever was killed before, and nothing lost."""

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from harness.engines import ask
from harness.processes import is_alive

from pentad_chassis.telemetry import silent_telemetry
from pentad_state import engine as module
from pentad_state.app import open_core
from pentad_state.config import Config
from pentad_state.core import StateCore
from pentad_state.datadir import DataDirInUse
from pentad_state.engine import EngineFailed, find_binary, open_engine
from pentad_state.errors import StoreUnavailable

SERVICE = """
import asyncio, sys
from pentad_chassis.telemetry import silent_telemetry
from pentad_state.config import Config
from pentad_state.engine import open_engine

async def main():
    async with open_engine(Config(data_dir=sys.argv[1]), silent_telemetry("state")) as url:
        print(url, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[tuple[str, StateCore]]:
    telemetry = silent_telemetry("state")
    async with open_engine(config, telemetry) as url, open_core(url, config, telemetry) as core:
        yield url, core


async def put(core: StateCore, key: str) -> None:
    await core.entries.put("scope", key, b"kept", None, None)


async def keys(core: StateCore) -> list[str]:
    entries, _ = await core.entries.list_entries("scope", "", 100, "")
    return [entry.key for entry in entries]


def start(*command: str | Path, inherits: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, pass_fds=(inherits,) if inherits else ()
    )


def setting(url: str, name: str) -> str:
    answer = ask(url, "CONFIG", "GET", name)
    assert isinstance(answer, dict)
    value: str = answer[name.encode()].decode()
    return value


def pid_of(url: str) -> int:
    info = ask(url, "INFO", "server")
    assert isinstance(info, dict)
    return int(info["process_id"])


@pytest.mark.parametrize("durability", ["process", "disk"])
async def test_what_was_written_is_there_after_a_stop(tmp_path: Path, durability: str) -> None:
    config = Config.model_validate({"data_dir": tmp_path / "data", "durability": durability})
    async with opened(config) as (url, core):
        await put(core, "a")
        assert setting(url, "appendfsync") == {"process": "everysec", "disk": "always"}[durability]
        pid = pid_of(url)
    assert not is_alive(pid)

    async with opened(config) as (_, core):
        assert await keys(core) == ["a"]


async def test_nobody_else_may_look(tmp_path: Path) -> None:
    async with opened(Config(data_dir=tmp_path / "data")) as (url, _):
        assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
        assert setting(url, "port") == "0"
        # A terminal's Ctrl-C goes to its session, and the engine has one of its own.
        assert os.getsid(pid_of(url)) != os.getsid(0)


async def test_a_second_service_on_the_folder_is_refused(tmp_path: Path) -> None:
    config = Config(data_dir=tmp_path)
    async with opened(config) as (_, core):
        with pytest.raises(DataDirInUse) as caught:
            async with open_engine(config, silent_telemetry("state")):
                pass
        assert caught.value.reason == "DATA_DIR_IN_USE"
        assert caught.value.metadata == {"data_dir": str(tmp_path)}
        await put(core, "still there")


async def test_a_killed_engine_comes_back_with_all_it_acknowledged(tmp_path: Path) -> None:
    async with opened(Config(data_dir=tmp_path)) as (url, core):
        for i in range(20):
            await put(core, f"{i:02d}")
        first = pid_of(url)

        os.kill(first, signal.SIGKILL)

        async with asyncio.timeout(10):
            while True:
                try:
                    found = await keys(core)
                    break
                except StoreUnavailable:
                    await asyncio.sleep(0.02)
        assert found == [f"{i:02d}" for i in range(20)]
        assert pid_of(url) != first


async def test_a_service_that_was_killed_leaves_its_folder_to_the_next(tmp_path: Path) -> None:
    for i in range(2):
        with start(sys.executable, "-c", SERVICE, tmp_path) as service:
            assert service.stdout is not None
            url = service.stdout.readline().strip()
            ask(url, "SET", f"key-{i}", "kept")
            engine = pid_of(url)
            service.kill()

    async with opened(Config(data_dir=tmp_path)) as (url, _):
        assert [ask(url, "GET", f"key-{i}") for i in range(2)] == [b"kept"] * 2
        assert pid_of(url) != engine
    assert not is_alive(engine)


async def test_an_engine_that_outlived_its_service_is_stopped_first(tmp_path: Path) -> None:
    async with opened(Config(data_dir=tmp_path)) as (_, core):
        await put(core, "a")
    with (tmp_path / "engine.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        orphan = start(find_binary(), tmp_path / "engine.conf", inherits=lock.fileno())
    with orphan:
        await asyncio.sleep(0.2)
        async with opened(Config(data_dir=tmp_path)) as (_, core):
            assert orphan.wait(timeout=5) == 0
            assert await keys(core) == ["a"]


async def test_a_deep_folder_works_too(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 120) / 'a "quoted" name'

    async with opened(Config(data_dir=deep)) as (url, core):
        await put(core, "a")
        assert len(url) < 110
        assert (deep / "engine.conf").exists()


async def test_an_engine_that_cannot_run_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "appendonlydir").write_text("in the way")
    with pytest.raises(EngineFailed) as caught:
        async with opened(Config(data_dir=tmp_path)):
            pass
    assert "appendonlydir" in caught.value.metadata["cause"]

    monkeypatch.setattr(module, "find_spec", {}.get)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineFailed, match="PENTAD_STATE_REDIS_URL"):
        async with opened(Config(data_dir=tmp_path / "other")):
            pass
