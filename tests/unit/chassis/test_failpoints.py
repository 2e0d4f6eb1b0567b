"""Failpoints: what is armed happens, where and when it was said, and every point is known."""

import asyncio
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pentad_chassis.failpoints import POINTS, FailpointInvalid, FailpointReached, armed, failpoint
from pentad_state.store import script

ROOT = Path(__file__).parents[3]
POINT = "orchestrator.append.after"
_USED = re.compile(r'failpoint\(f?"([^"]+)"\)')
_SCRIPT = re.compile(r"state\.([a-z_]+)\.(before|after)")


def used() -> set[str]:
    """Return the points in the code; the store's stand there once for all scripts."""
    files = [*(ROOT / "services").rglob("*.py"), *(ROOT / "chassis").rglob("*.py")]
    return {name for path in files for name in _USED.findall(path.read_text("utf-8"))}


def test_every_point_in_the_code_is_known_and_every_known_one_is_in_the_code() -> None:
    known = {_SCRIPT.sub(r"state.{script.name}.\2", name) for name in POINTS}

    assert used() == known


@pytest.mark.parametrize("name", [m[1] for name in POINTS if (m := _SCRIPT.fullmatch(name))])
def test_points_of_the_store_are_those_of_scripts_that_exist(name: str) -> None:
    assert script(name).name == name
    assert {f"state.{name}.before", f"state.{name}.after"} <= POINTS.keys()


async def test_a_point_that_nobody_armed_does_nothing() -> None:
    await failpoint(POINT)


async def test_a_point_fails_each_time_or_once() -> None:
    with armed({POINT: "raise@2", "tools.begin.before": "raise"}) as reached:
        await failpoint(POINT)
        with pytest.raises(FailpointReached, match=POINT) as caught:
            await failpoint(POINT)
        await failpoint(POINT)
        for _ in range(2):
            with pytest.raises(FailpointReached):
                await failpoint("tools.begin.before")
    await failpoint(POINT)

    assert (caught.value.reason, caught.value.code.name) == ("FAILPOINT", "UNAVAILABLE")
    assert reached == {POINT: 3, "tools.begin.before": 2}


async def test_a_point_waits() -> None:
    with armed({POINT: "delay:30"}):
        waiting = asyncio.create_task(failpoint(POINT))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()


async def test_a_point_does_what_a_test_likes_and_blocks_nest() -> None:
    seen: list[str] = []

    async def note() -> None:
        seen.append("here")

    with armed({POINT: "raise"}):
        with armed({POINT: note}):
            await failpoint(POINT)
        with pytest.raises(FailpointReached):
            await failpoint(POINT)
    assert seen == ["here"]


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("orchestrator.append.during", "kill"),
        (POINT, "explode"),
        (POINT, "delay:soon"),
        (POINT, "kill@0"),
        (POINT, "kill@often"),
        (POINT, ""),
    ],
)
def test_what_cannot_be_armed_is_refused(name: str, action: str) -> None:
    with pytest.raises(FailpointInvalid), armed({name: action}):
        pass


def test_the_environment_arms_a_process() -> None:
    program = f"""
import asyncio
from pentad_chassis.failpoints import failpoint

async def main():
    await failpoint("tools.extend.before")
    for number in range(3):
        print(number, flush=True)
        await failpoint("{POINT}")

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PENTAD_FAILPOINTS": f"{POINT}=kill@2; tools.extend.before=delay:0.01"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert done.stdout == "0\n1\n"
    assert done.returncode == -signal.SIGKILL, done.stderr
