"""What runs have others told: whole, and only where somebody is left to hear it."""

from harness.fake_state import FakeRuns
from harness.fakes import direct
from unit.orchestrator.story import simple

from pentad.state.v1.event_pb2 import ChildEnded, Event
from pentad.state.v1.job_pb2 import CancelRun, Job, SignalRun
from pentad.state.v1.job_service_pb2 import ClaimedJob
from pentad.state.v1.run_pb2 import RunStatus
from pentad_orchestrator.outputs import BYTES_MAX
from pentad_orchestrator.relays import Relays


class Peers:
    """A child with an answer, and its parent."""

    def __init__(self, answer: str = "done") -> None:
        self.runs = FakeRuns()
        for run_id in ("07-parent", "07-child"):
            self.runs.seed(run_id, Event(run_created=simple()))
        self.runs.runs["07-child"].run.status.CopyFrom(ended(answer))
        self.relays = Relays(direct(self.runs))

    async def signal(self, told: RunStatus, run_id: str = "07-parent") -> str:
        """Have the parent told of the child's end; return the answer that it hears."""
        event = Event(child_ended=ChildEnded(key="0.1.0", status=told))
        work = SignalRun(run_id=run_id, signal_id="child/0.1.0/0", event=event)
        await self.relays.signal(job(signal_run=work))
        (heard,) = self.runs.runs["07-parent"].inbox.values()
        return heard.child_ended.status.output

    async def cancel(self, **whom: str) -> str | None:
        """Have the child cancelled; return the reason it hears."""
        await self.relays.cancel(job(cancel_run=CancelRun(reason="enough", **whom)))
        return self.runs.runs["07-child"].cancel_reason


def job(**work: SignalRun | CancelRun) -> ClaimedJob:
    return ClaimedJob(job=Job(tenant="acme", place="07-child", **work))  # type: ignore[arg-type]


def ended(output: str) -> RunStatus:
    return RunStatus(state=RunStatus.STATE_COMPLETED, output=output)


async def test_a_parent_is_told_of_its_childs_end_once() -> None:
    peers = Peers()
    assert await peers.signal(ended("done")) == "done"
    assert await peers.signal(ended("done")) == "done"


async def test_an_answer_too_long_for_a_job_is_read_where_it_stands() -> None:
    assert await Peers("x" * 100_000).signal(ended("")) == "x" * 100_000


async def test_an_answer_too_long_for_a_parent_is_cut_and_says_so() -> None:
    heard = await Peers("x" * 500_000).signal(ended(""))

    assert heard.startswith("x" * BYTES_MAX)
    assert heard.endswith("(cut; 500000 bytes in all)")


async def test_a_run_that_is_gone_needs_to_be_told_nothing() -> None:
    peers = Peers()
    await peers.relays.signal(job(signal_run=SignalRun(run_id="07-gone", signal_id="x")))
    await peers.relays.cancel(job(cancel_run=CancelRun(run_id="07-gone")))

    assert not peers.runs.runs["07-parent"].inbox
    assert peers.runs.runs["07-child"].cancel_reason is None


async def test_a_run_is_cancelled_by_its_id_or_by_what_created_it() -> None:
    assert await Peers().cancel(run_id="07-child") == "enough"
    assert await Peers().cancel(request_id="07-child") == "enough"
    assert await Peers().cancel(request_id="never came") is None
