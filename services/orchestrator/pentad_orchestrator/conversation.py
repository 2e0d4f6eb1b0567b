"""The session a run belongs to: its turn in it, what was said before it, and what it adds."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.message_pb2 import Message
from pentad.state.v1.run_pb2 import Failure
from pentad.state.v1.run_service_pb2 import ListEventsRequest
from pentad.state.v1.session_service_pb2 import (
    AppendMessagesRequest,
    EnterSessionRequest,
    EnterSessionResponse,
    GetWindowRequest,
)
from pentad_chassis.errors import NotFound, ServiceError
from pentad_chassis.failpoints import failpoint
from pentad_orchestrator import outside, plan
from pentad_orchestrator.config import Config
from pentad_orchestrator.interrupted import Excerpt
from pentad_orchestrator.patience import Patience
from pentad_orchestrator.run import Finishing, Run

if TYPE_CHECKING:
    from pentad.state.v1.run_service_pb2_grpc import RunServiceAsyncStub
    from pentad.state.v1.session_service_pb2_grpc import SessionServiceAsyncStub


@dataclass(frozen=True, slots=True)
class History:
    """What was said in a session before the run began."""

    messages: Sequence[Message] = ()
    last_seq: int = 0


class Conversation:
    """Reads and writes sessions for runs, of which one at a time is active in each."""

    def __init__(
        self,
        sessions: "SessionServiceAsyncStub",
        runs: "RunServiceAsyncStub",
        patience: Patience,
        config: Config,
    ) -> None:
        self._sessions = sessions
        self._runs = runs
        self._patience = patience
        self._config = config
        self._timeout_s = config.lease_s / 3

    async def history(self, run: Run) -> History | Event:
        """Return what the run sees of its session: the same for every owner it has.

        For one that may not begin yet, or never, return the event that says so.
        """
        if not run.created.spec.session_id:
            return History()
        # To the service, 0 means "up to the last"; a run that began an empty session saw nothing.
        began_empty = outside.has_begun(run) and run.session_seq == 0
        if outside.is_outside(run):
            admitted = await self._admitted(run)
            return History() if began_empty and isinstance(admitted, History) else admitted
        return History() if began_empty else await self._seen(run)

    async def save(self, run: Run) -> Event:
        """Return `run_completed` once the session holds question and answer, each once."""
        assert isinstance(run.phase, Finishing), "only an answer is saved"
        request = AppendMessagesRequest(
            tenant=run.created.tenant,
            session_id=run.created.spec.session_id,
            append_id=run.run_id,
            run_id=run.run_id,
            messages=[
                Message(role=Message.ROLE_USER, text=run.created.spec.input),
                Message(role=Message.ROLE_ASSISTANT, text=run.phase.output),
            ],
            leave_run_id=run.run_id,
        )

        async def append() -> None:
            await failpoint("orchestrator.session.before")
            await self._sessions.AppendMessages(request, timeout=self._timeout_s)
            await failpoint("orchestrator.session.after")

        try:
            await self._patience.until_answered(append, what="AppendMessages")
        except ServiceError as error:
            return plan.failed(run, _failure(error))
        return plan.completed(run)

    async def _admitted(self, run: Run) -> History | Event:
        """Return what a run sees that enters its session now, or the event that it may not."""
        try:
            response = await self._enter(run)
            for run_id in response.interrupted_run_ids:
                await self._keep(run, run_id)
            if response.interrupted_run_ids:
                response = await self._enter(run)
        except ServiceError as error:
            return plan.failed(run, _failure(error))
        if response.active_run_id:
            return outside.wait(run, response.active_run_id, response.time)
        return History(response.messages, response.last_seq)

    async def _enter(self, run: Run) -> EnterSessionResponse:
        spec = run.created.spec
        request = EnterSessionRequest(
            tenant=run.created.tenant,
            session_id=spec.session_id,
            run_id=run.run_id,
            policy=spec.session_policy,
            last_seq=run.session_seq,
            max_messages=self._config.window_messages,
            max_tokens=self._config.window_tokens,
        )

        async def enter() -> EnterSessionResponse:
            await failpoint("orchestrator.enter.before")
            response = await self._sessions.EnterSession(request, timeout=self._timeout_s)
            await failpoint("orchestrator.enter.after")
            return response

        return await self._patience.until_answered(enter, what="EnterSession")

    async def _seen(self, run: Run) -> History:
        request = GetWindowRequest(
            tenant=run.created.tenant,
            session_id=run.created.spec.session_id,
            last_seq=run.session_seq,
            max_messages=self._config.window_messages,
            max_tokens=self._config.window_tokens,
        )

        async def read() -> History:
            window = await self._sessions.GetWindow(request, timeout=self._timeout_s)
            return History(window.messages, window.last_seq)

        return await self._patience.until_answered(read, what="GetWindow")

    async def _keep(self, run: Run, run_id: str) -> None:
        """Append what another run had done when this one interrupted it, once."""
        excerpt = Excerpt()
        try:
            while events := await self._patience.until_answered(
                partial(self._events, run_id, excerpt.last_seq), what="ListEvents"
            ):
                excerpt.read(events)
        except NotFound:
            return  # it was forgotten long ago
        request = AppendMessagesRequest(
            tenant=run.created.tenant,
            session_id=run.created.spec.session_id,
            append_id=run_id,
            run_id=run_id,
            messages=excerpt.messages(),
        )

        async def append() -> None:
            await failpoint("orchestrator.keep.before")
            await self._sessions.AppendMessages(request, timeout=self._timeout_s)
            await failpoint("orchestrator.keep.after")

        await self._patience.until_answered(append, what="AppendMessages")

    async def _events(self, run_id: str, after_seq: int) -> Sequence[Event]:
        request = ListEventsRequest(run_id=run_id, after_seq=after_seq)
        return (await self._runs.ListEvents(request, timeout=self._timeout_s)).events


def _failure(error: ServiceError) -> Failure:
    return Failure(reason=error.reason, message=error.message, metadata=error.metadata)
