"""A tool may say that people have to agree before a call; what it says is checked at start."""

from datetime import timedelta

import pytest

from pentad_tools.servicer import to_proto
from pentad_tools.tool import Approval, Effect, ToolDefinitionInvalid, tool


def pay(amount: int) -> str:
    """Pay somebody."""
    return str(amount)


def test_a_tool_says_when_people_have_to_agree_and_who() -> None:
    asks = Approval(
        condition="arguments.amount > 100.0",
        approvers=("ann",),
        escalate_after_s=0.5,
        escalate_to=("bob",),
        expire_after_s=3600,
    )

    policy = to_proto(tool(effect=Effect.ONCE, approval=asks)(pay)).approval

    assert policy.condition == "arguments.amount > 100.0"
    assert (list(policy.approvers), list(policy.escalate_to)) == (["ann"], ["bob"])
    assert policy.escalate_after.ToTimedelta() == timedelta(seconds=0.5)
    assert policy.expire_after.ToTimedelta() == timedelta(hours=1)


def test_a_tool_that_says_nothing_asks_nobody() -> None:
    assert not to_proto(tool(effect=Effect.ONCE)(pay)).HasField("approval")
    always = to_proto(tool(effect=Effect.ONCE, approval=Approval())(pay))
    assert always.HasField("approval")
    assert not always.approval.HasField("expire_after")


@pytest.mark.parametrize(
    ("asks", "field"),
    [
        (Approval(condition="amount > 100"), "approval.condition"),
        (Approval(approvers=("",)), "approval.approvers"),
        (Approval(expire_after_s=0), "approval.expire_after"),
        (Approval(approvers=("ann",), escalate_after_s=5), "approval.escalate_to"),
    ],
)
def test_what_cannot_be_kept_makes_no_tool(asks: Approval, field: str) -> None:
    with pytest.raises(ToolDefinitionInvalid, match=field):
        tool(effect=Effect.ONCE, approval=asks)(pay)


@pytest.mark.parametrize("name", ["ask_human", "sleep", "agent_clerk"])
def test_the_names_of_native_tools_are_taken(name: str) -> None:
    def other(amount: int) -> str:
        """Pay somebody."""
        return str(amount)

    other.__name__ = name

    with pytest.raises(ToolDefinitionInvalid, match="kept for the suite's own"):
        tool(effect=Effect.PURE)(other)
