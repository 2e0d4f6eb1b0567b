"""Every failure as one line: what happened, its reason, and what to do about it."""

from pentad_chassis.errors import Code, ServiceError

_ADVICE = {
    "AGENT_ALREADY_EXISTS": "apply it again to update it",
    "AGENT_NOT_FOUND": "see `pentad agent list`",
    "API_KEY_INVALID": "is this the key of that suite? see PENTAD_API_KEY_FILE, PENTAD_API_KEY",
    "API_KEY_MISSING": "set PENTAD_API_KEY_FILE or PENTAD_API_KEY",
    "APPROVAL_NOT_FOUND": "see `pentad approvals`",
    "APPROVER_NOT_ALLOWED": "ask one of them, or wait until it escalates",
    "ARGUMENTS_CHANGED": "look at it again with `pentad approval`",
    "CAPABILITY_NOT_FOUND": "see `pentad agent list`",
    "EVENT_NOT_FOUND": "see `pentad show RUN --events`",
    "FORK_AT_END": "see `pentad show RUN --events`",
    "INVALID_CURSOR": "take a cursor that `pentad tail --json` printed for this run",
    "WORKFLOW_NOT_FOUND": "see `pentad workflow list`",
    "MESSAGE_NOT_FOUND": "see `pentad session SESSION --json`",
    "PAYLOAD_TOO_LARGE": "send less, or put it into a file that a tool can read",
    "REQUEST_ID_REUSED": "take another --request-id, or repeat the first request unchanged",
    "RUN_NOT_FOUND": "see `pentad runs`",
    "RUN_NOT_PAUSED": "see `pentad show RUN`",
    "SCHEDULE_FULL": "too many runs wait; try again when some have begun",
    "SESSION_ALREADY_EXISTS": "take another name; see `pentad sessions`",
    "SESSION_BUSY": "wait for it, or take another --session-policy",
    "SESSION_NOT_FOUND": "see `pentad sessions`",
    "SETTLEMENT_MISSING": "find out, then add --settle CALL=done:JSON, not-done or failed:TEXT",
    "STORE_UNAVAILABLE": "try again; `pentad doctor` tells more",
    "TOOL_NOT_FOUND": "see `pentad tools`",
    "UNAVAILABLE": "start it with `pentad up`, or set PENTAD_ADDRESS",
    "VERSION_MISMATCH": "somebody else changed it; look at it and try again",
}


class CommandFailed(Exception):
    """The command ends here: one line for people, and an exit code for scripts."""

    def __init__(self, what: str, advice: str = "", *, exit_code: int = 1) -> None:
        super().__init__(f"{what}; {advice}" if advice else what)
        self.exit_code = exit_code


def describe(error: ServiceError, address: str) -> str:
    """Return an error of the suite as one line that ends with what to do."""
    what = f"{error.message} ({error.reason})"
    if error.violations:
        fields = "; ".join(f"{v.field}: {v.description}" for v in error.violations)
        what = f"{fields} ({error.reason})"
    elif error.reason == "UNAVAILABLE":
        what = f"no suite answers at {address} (UNAVAILABLE)"
    elif error.code is Code.INTERNAL:
        what = f"{what}; the suite's log says more"
    advice = _ADVICE.get(error.reason)
    line = f"{what}; {advice}" if advice else what
    return " ".join(line.split())
