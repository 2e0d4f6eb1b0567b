"""Work finds who waits for it by being announced: nobody has to look for it."""

import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from harness.builders import agent, answer, ask, gated
from harness.suite import Kit, until
from harness.wired import open_wired

from pentad.gateway.v1.run_service_pb2 import CancelRunRequest, PauseRunRequest, ResumeRunRequest
from pentad.state.v1.run_pb2 import RunStatus
from pentad_state import schedule

pytestmark = pytest.mark.system

AN_HOUR_S = 3600.0


@pytest.fixture
def folder() -> Iterator[Path]:
    # Paths of unix sockets end at about 108 bytes; pytest's folders alone come close to that.
    with tempfile.TemporaryDirectory(prefix="pentad-", dir="/tmp") as made:
        yield Path(made)


@pytest.fixture
async def unswept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Kit]:
    """A suite in which nobody looks for what is not announced while a test lasts."""
    monkeypatch.setattr(schedule, "_SWEEP_S", AN_HOUR_S)
    async with open_wired(folder) as wired:
        await wired.kit.apply(agent("echo", answer("done")), gated("waits", str(folder / "gate")))
        await wired.kit.execute(ask("echo"))
        yield wired.kit


async def is_in(kit: Kit, run_id: str, state: RunStatus.State.ValueType) -> None:
    async def there() -> bool:
        return (await kit.get(run_id)).status.state == state

    await until(there, 30.0, f"{run_id} is {RunStatus.State.Name(state)}")


async def test_a_run_whose_start_has_come_begins(unswept: Kit) -> None:
    spec = ask("echo")
    spec.start_time.FromMilliseconds(int((time.time() + 0.3) * 1000))

    run = await unswept.create(spec)

    assert (await unswept.wait(run.run_id)).status.state == RunStatus.STATE_COMPLETED


async def test_a_run_that_is_asked_to_rest_to_go_on_and_to_end_hears_of_it(
    unswept: Kit, folder: Path
) -> None:
    runs = unswept.client.runs
    run_id = (await unswept.create(ask("waits"))).run_id
    await is_in(unswept, run_id, RunStatus.STATE_RUNNING)

    await runs.PauseRun(PauseRunRequest(run_id=run_id))
    (folder / "gate").touch()
    await is_in(unswept, run_id, RunStatus.STATE_PAUSED)
    await runs.ResumeRun(ResumeRunRequest(run_id=run_id))
    assert (await unswept.wait(run_id)).status.state == RunStatus.STATE_COMPLETED


async def test_a_run_that_rests_is_taken_up_to_be_cancelled(unswept: Kit) -> None:
    spec = ask("echo")
    spec.start_time.FromMilliseconds(int((time.time() + AN_HOUR_S) * 1000))
    run_id = (await unswept.create(spec)).run_id
    runs = unswept.client.runs

    await runs.PauseRun(PauseRunRequest(run_id=run_id))
    await is_in(unswept, run_id, RunStatus.STATE_PAUSED)
    await runs.CancelRun(CancelRunRequest(run_id=run_id))

    assert (await unswept.wait(run_id)).status.state == RunStatus.STATE_CANCELLED
