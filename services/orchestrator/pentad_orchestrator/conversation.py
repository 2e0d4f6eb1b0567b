"""The session a run belongs to: what was said before it, and what it adds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.message_pb2 import Message
from pentad.state.v1.run_pb2 import Failure
from pentad.state.v1.session_service_pb2 import (
    AppendMessagesRequest,
    AppendMessagesResponse,
    GetWindowRequest,
    GetWindowResponse,
)
from pentad_chassis.errors import ServiceError
from pentad_chassis.failpoints import failpoint
from pentad_orchestrator import plan
from pentad_orchestrator.config import Config
from pentad_orchestrator.patience import Patience
from pentad_orchestrator.run import Finishing, Run

if TYPE_CHECKING:
    from pentad.state.v1.session_service_pb2_grpc import SessionServiceAsyncStub


@dataclass(frozen=True, slots=True)
class History:
    """What was said in a session before the run began."""

    messages: Sequence[Message] = ()
    last_seq: int = 0


class Conversation:
    """Reads and writes sessions for runs."""

    def __init__(
        self, sessions: "SessionServiceAsyncStub", patience: Patience, config: Config
    ) -> None:
        self._sessions = sessions
        self._patience = patience
        self._config = config
        self._timeout_s = config.lease_s / 3

    async def history(self, run: Run) -> History:
        """Return what the run sees of its session: the same for every owner it has."""
        session_id = run.created.spec.session_id
        # To the service, 0 means "up to the last"; a run that began an empty session saw nothing.
        began_empty = run.attempt > 0 and run.session_seq == 0
        if not session_id or began_empty:
            return History()
        request = GetWindowRequest(
            tenant=run.created.tenant,
            session_id=session_id,
            last_seq=run.session_seq,
            max_messages=self._config.window_messages,
            max_tokens=self._config.window_tokens,
        )

        async def read() -> GetWindowResponse:
            return await self._sessions.GetWindow(request, timeout=self._timeout_s)

        window = await self._patience.until_answered(read, what="GetWindow")
        return History(window.messages, window.last_seq)

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
        )

        async def append() -> AppendMessagesResponse:
            await failpoint("orchestrator.session.before")
            response = await self._sessions.AppendMessages(request, timeout=self._timeout_s)
            await failpoint("orchestrator.session.after")
            return response

        try:
            await self._patience.until_answered(append, what="AppendMessages")
        except ServiceError as error:
            failure = Failure(reason=error.reason, message=error.message, metadata=error.metadata)
            return plan.failed(run, failure)
        return plan.completed(run)
