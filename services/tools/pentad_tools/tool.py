"""What a tool is made of: all that a third-party tool needs to import. See docs/tools.md."""

import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar

from pentad.state.v1 import tool_pb2
from pentad.state.v1.approval_policy_pb2 import ApprovalPolicy
from pentad.state.v1.topic_pb2 import TopicEvent
from pentad_chassis import approvals, native
from pentad_chassis.clock import Clock
from pentad_tools.parameters import Parameters, ToolDefinitionInvalid

__all__ = [
    "NOT_DONE",
    "UNKNOWN",
    "AnyTool",
    "Approval",
    "ArgumentInvalid",
    "Checked",
    "Done",
    "Effect",
    "Tool",
    "ToolContext",
    "ToolDefinitionInvalid",
    "ToolFailed",
    "tool",
]

_P = ParamSpec("_P")
_R = TypeVar("_R")

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
TIMEOUT_S_MAX = 3600.0


class Effect(Enum):
    """What may happen when a call is repeated."""

    PURE = tool_pb2.EFFECT_PURE
    """Nothing: the tool only reads or computes."""

    IDEMPOTENT = tool_pb2.EFFECT_IDEMPOTENT
    """Nothing more than by one call, if the tool passes on its idempotency key."""

    ONCE = tool_pb2.EFFECT_ONCE
    """A second effect, so that Pentad never repeats a call by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """What a tool knows of the call; given to a parameter that is annotated with this class."""

    tenant: str
    """Owner of the run; whatever a tool stores must be apart for each tenant."""

    idempotency_key: str
    """`RUN_ID/CALL_ID`: the same for every attempt at this call, and for no other call."""

    data_dir: Path
    """The folder of files that tools may read, shared by all tenants."""

    notebook_dir: Path
    """The folder of notebooks, with one folder for each tenant."""

    http_allow: tuple[str, ...]
    """Hosts that tools may reach."""

    clock: Clock
    """The time."""

    publish: Callable[[TopicEvent], Awaitable[int]] | None = None
    """Adds an event to one of the tenant's topics and returns its place; None outside a service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A person has to agree before a call. See docs/approvals.md."""

    condition: str = ""
    """CEL over `arguments`, `tool` and `agent`: an approval is needed where it is true; always,
    where it is empty."""

    approvers: tuple[str, ...] = ()
    """Names of the API keys that may decide; none for any of the tenant."""

    escalate_after_s: float | None = None
    """After so long those of `escalate_to` may decide as well."""

    escalate_to: tuple[str, ...] = ()

    expire_after_s: float | None = None
    """After so long the call is refused; 7 days by default."""

    def to_policy(self) -> ApprovalPolicy:
        """Return the same as a message."""
        policy = ApprovalPolicy(
            condition=self.condition, approvers=self.approvers, escalate_to=self.escalate_to
        )
        if self.escalate_after_s is not None:
            policy.escalate_after.FromTimedelta(timedelta(seconds=self.escalate_after_s))
        if self.expire_after_s is not None:
            policy.expire_after.FromTimedelta(timedelta(seconds=self.expire_after_s))
        return policy


class ToolFailed(Exception):
    """The call gives no result and had no effect; the model reads the message."""


class ArgumentInvalid(ToolFailed):
    """One argument cannot be used, as only the tool itself could see."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")


@dataclass(frozen=True, slots=True)
class Done:
    """A check's finding: the call took place, and this is what it returned."""

    result: object


class Unsettled(Enum):
    """A check's other findings."""

    NOT_DONE = "not done"
    UNKNOWN = "unknown"


NOT_DONE = Unsettled.NOT_DONE
"""The call did not take place; it may be made now."""

UNKNOWN = Unsettled.UNKNOWN
"""The check cannot tell; a person has to."""

Checked: TypeAlias = Done | Unsettled


class Tool(Generic[_P, _R]):
    """A function with all that a catalogue needs; calling it calls the function."""

    def __init__(
        self,
        function: Callable[_P, _R],
        effect: Effect,
        timeout_s: float,
        approval: Approval | None = None,
    ) -> None:
        self.name = function.__name__
        self.function = function
        self.effect = effect
        self.timeout_s = timeout_s
        self.description = _first_paragraph(function)
        self.parameters = Parameters(function, ToolContext)
        self.approval = None if approval is None else approval.to_policy()
        self.checker: Callable[_P, Checked | Awaitable[Checked]] | None = None
        """Finds out whether a call took place; only `ONCE` tools have one."""
        if not _NAME.fullmatch(self.name):
            raise ToolDefinitionInvalid(self.name, f"the name must match {_NAME.pattern}")
        if native.is_native(self.name):
            raise ToolDefinitionInvalid(self.name, "the name is kept for the suite's own tools")
        if not self.description:
            raise ToolDefinitionInvalid(self.name, "it needs a docstring: models read it")
        if not 0 < timeout_s <= TIMEOUT_S_MAX:
            raise ToolDefinitionInvalid(self.name, f"timeout_s must be 0 to {TIMEOUT_S_MAX:.0f}")
        for wrong in approvals.violations(self.approval, "approval") if self.approval else ():
            raise ToolDefinitionInvalid(self.name, f"{wrong.field} {wrong.description}")

    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return self.function(*args, **kwargs)

    def check(
        self, function: Callable[_P, Checked | Awaitable[Checked]]
    ) -> Callable[_P, Checked | Awaitable[Checked]]:
        """Attach what finds out whether a call took place; it takes the tool's own parameters."""
        if self.effect is not Effect.ONCE:
            raise ToolDefinitionInvalid(self.name, "only ONCE tools have use for a check")
        if list(inspect.signature(function).parameters) != self.parameters.names:
            raise ToolDefinitionInvalid(self.name, "its check must take the same parameters")
        self.checker = function
        return function


AnyTool: TypeAlias = Tool[Any, Any]


def tool(
    *, effect: Effect, timeout_s: float = 10.0, approval: Approval | None = None
) -> Callable[[Callable[_P, _R]], Tool[_P, _R]]:
    """Make a tool of a function, sync or async; its docstring's first paragraph describes it."""

    def make(function: Callable[_P, _R]) -> Tool[_P, _R]:
        if not isinstance(effect, Effect):
            raise ToolDefinitionInvalid(function.__name__, "effect must be one of Effect's")
        return Tool(function, effect, timeout_s, approval)

    return make


def _first_paragraph(function: Callable[..., object]) -> str:
    paragraph = (inspect.getdoc(function) or "").partition("\n\n")[0]
    return " ".join(paragraph.split())
