"""Conversations, on the wire."""

from pentad.state.v1 import session_service_pb2 as pb
from pentad.state.v1 import session_service_pb2_grpc as pb_grpc
from pentad.state.v1.session_pb2 import SessionMessage
from pentad_chassis.server import Context
from pentad_state.core import StateCore
from pentad_state.journal import to_time


class SessionServicer(pb_grpc.SessionServiceServicer):
    """Conversations."""

    def __init__(self, core: StateCore) -> None:
        self._sessions = core.sessions
        self._slots = core.slots
        self._forks = core.forks

    async def AppendMessages(
        self, request: pb.AppendMessagesRequest, context: Context
    ) -> pb.AppendMessagesResponse:
        messages = [SessionMessage(run_id=request.run_id, message=m) for m in request.messages]
        ttl = request.ttl if request.HasField("ttl") else None
        session = await self._sessions.append(
            request.tenant,
            request.session_id,
            request.append_id,
            messages,
            ttl,
            leaves=request.leave_run_id,
        )
        return pb.AppendMessagesResponse(session=session)

    async def GetSession(
        self, request: pb.GetSessionRequest, context: Context
    ) -> pb.GetSessionResponse:
        session = await self._sessions.get(request.tenant, request.session_id)
        return pb.GetSessionResponse(session=session)

    async def ListSessions(
        self, request: pb.ListSessionsRequest, context: Context
    ) -> pb.ListSessionsResponse:
        sessions, token = await self._sessions.list_sessions(
            request.tenant, request.page_size, request.page_token
        )
        return pb.ListSessionsResponse(sessions=sessions, next_page_token=token)

    async def ListMessages(
        self, request: pb.ListMessagesRequest, context: Context
    ) -> pb.ListMessagesResponse:
        messages, token = await self._sessions.list_messages(
            request.tenant, request.session_id, request.page_size, request.page_token
        )
        return pb.ListMessagesResponse(messages=messages, next_page_token=token)

    async def GetWindow(
        self, request: pb.GetWindowRequest, context: Context
    ) -> pb.GetWindowResponse:
        messages, last_seq = await self._sessions.window(
            request.tenant,
            request.session_id,
            request.last_seq,
            request.max_messages,
            request.max_tokens,
        )
        return pb.GetWindowResponse(messages=messages, last_seq=last_seq)

    async def EnterSession(
        self, request: pb.EnterSessionRequest, context: Context
    ) -> pb.EnterSessionResponse:
        standing = await self._slots.enter(
            request.tenant, request.session_id, request.run_id, request.policy
        )
        messages, last_seq = await self._sessions.window_of(
            standing.session, request.last_seq, request.max_messages, request.max_tokens
        )
        return pb.EnterSessionResponse(
            active_run_id=standing.active_run_id,
            messages=messages,
            last_seq=last_seq,
            interrupted_run_ids=standing.interrupted,
            time=to_time(standing.time_ms),
        )

    async def LeaveSession(
        self, request: pb.LeaveSessionRequest, context: Context
    ) -> pb.LeaveSessionResponse:
        await self._slots.leave(request.tenant, request.session_id, request.run_id)
        return pb.LeaveSessionResponse()

    async def ForkSession(
        self, request: pb.ForkSessionRequest, context: Context
    ) -> pb.ForkSessionResponse:
        session = await self._forks.fork_session(
            request.tenant,
            request.session_id,
            request.at_seq,
            request.new_session_id,
            request.fork_id,
        )
        return pb.ForkSessionResponse(session=session)

    async def DeleteSession(
        self, request: pb.DeleteSessionRequest, context: Context
    ) -> pb.DeleteSessionResponse:
        await self._sessions.delete(request.tenant, request.session_id)
        return pb.DeleteSessionResponse()
