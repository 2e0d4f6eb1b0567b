"""Policies of approvals say who may decide, when and how long; nothing else gets through."""

from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from pentad.state.v1.approval_policy_pb2 import ApprovalPolicy
from pentad_chassis.approvals import violations


def wrong(policy: dict[str, Any]) -> list[str]:
    return [each.field for each in violations(ParseDict(policy, ApprovalPolicy()), "p")]


@pytest.mark.parametrize(
    "policy",
    [
        {},
        {"condition": "arguments.amount > 100.0 && tool == 'pay' && agent != 'boss'"},
        {"approvers": ["ann"], "escalate_to": ["bob"], "escalate_after": "60s"},
        {
            "approvers": [f"a{n}" for n in range(16)],
            "escalate_to": [f"b{n}" for n in range(16)],
            "escalate_after": "31535999s",
            "expire_after": "31536000s",
        },
        {"expire_after": "0.001s"},
    ],
)
def test_a_policy_that_can_be_kept_is_accepted(policy: dict[str, Any]) -> None:
    assert wrong(policy) == []


@pytest.mark.parametrize(
    ("policy", "fields"),
    [
        ({"condition": "amount > 1"}, ["p.condition"]),
        ({"condition": "tool"}, ["p.condition"]),
        ({"condition": "tool == 1"}, ["p.condition"]),
        ({"condition": f"tool == '{'x' * 1024}'"}, ["p.condition"]),
        ({"approvers": ["ann", " ", "a\nb", "x" * 257]}, [f"p.approvers[{n}]" for n in (1, 2, 3)]),
        ({"approvers": ["ann", "bob", "ann"]}, ["p.approvers[2]"]),
        ({"approvers": [f"a{n}" for n in range(17)]}, ["p.approvers"]),
        ({"expire_after": "0s"}, ["p.expire_after"]),
        ({"expire_after": "-1s"}, ["p.expire_after"]),
        ({"expire_after": "31536001s"}, ["p.expire_after"]),
        ({"approvers": ["ann"], "escalate_after": "60s"}, ["p.escalate_to"]),
        ({"approvers": ["ann"], "escalate_to": ["bob"]}, ["p.escalate_after"]),
        ({"escalate_to": ["bob"], "escalate_after": "60s"}, ["p.approvers"]),
        (
            {
                "approvers": ["a"],
                "escalate_to": ["b"],
                "escalate_after": "9s",
                "expire_after": "9s",
            },
            ["p.escalate_after"],
        ),
        (
            {"approvers": ["a"], "escalate_to": ["b"], "escalate_after": "604800s"},
            ["p.escalate_after"],
        ),
    ],
)
def test_a_policy_that_cannot_be_kept_names_its_field(
    policy: dict[str, Any], fields: list[str]
) -> None:
    assert wrong(policy) == fields
