"""Requests about sessions, and those that only name a tool."""

from pentad.gateway.v1.session_service_pb2 import (
    DeleteSessionRequest,
    ForkSessionRequest,
    GetSessionRequest,
    ListMessagesRequest,
    ListSessionsRequest,
)
from pentad.gateway.v1.tool_service_pb2 import GetToolRequest
from pentad_chassis.errors import FieldViolation
from pentad_gateway.validation.bounds import SEQ_MAX, SESSION_ID, TOOL_NAME, Bounds


def name_session(request: GetSessionRequest | DeleteSessionRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    bounds.name("session_id", request.session_id, SESSION_ID)
    return bounds.violations


def fork_session(request: ForkSessionRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    bounds.name("session_id", request.session_id, SESSION_ID)
    bounds.within("at_seq", request.at_seq, SEQ_MAX, 1)
    bounds.name("new_session_id", request.new_session_id, SESSION_ID)
    bounds.request_id(request.request_id)
    return bounds.violations


def list_sessions(request: ListSessionsRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    bounds.page(request)
    return bounds.violations


def list_messages(request: ListMessagesRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    bounds.name("session_id", request.session_id, SESSION_ID)
    bounds.page(request)
    return bounds.violations


def get_tool(request: GetToolRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    bounds.name("name", request.name, TOOL_NAME)
    return bounds.violations
