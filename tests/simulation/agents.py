"""The agents of a simulation: one that does everything, and one that it has work done by."""

from typing import Any

from simulation.outside import NAMES

from pentad.state.v1.agent_pb2 import Agent

GUARDED = "put"
"""A tool that a person has to allow; nobody else may be asked before `ESCALATE_S`."""

BOSS, OWNER = "boss", "owner"
ESCALATE_S, EXPIRE_S = 6, 25


def agents() -> tuple[Agent, Agent]:
    """Return the clerk and its helper."""
    clerk: Any = Agent(name="clerk", revision=1, model="chance:1", agents=["helper"])
    clerk.tools.extend([*NAMES, "ask_human", "sleep"])
    for tool in (GUARDED, "ask_human"):
        policy = clerk.approvals.add(tool=tool).policy
        policy.approvers.append(BOSS)
        policy.escalate_to.append(OWNER)
        policy.escalate_after.FromSeconds(ESCALATE_S)
        policy.expire_after.FromSeconds(EXPIRE_S)
    helper = Agent(name="helper", revision=1, model="chance:1", tools=["look", "send"])
    return clerk, helper
