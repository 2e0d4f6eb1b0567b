"""Who does the work: an agent of rules with every class of effect, and one with a model."""

import random

from harness.builders import agent, answer, ask, call

from pentad.state.v1.agent_pb2 import Agent
from pentad.state.v1.run_pb2 import RunSpec

CLERK = "clerk"
TELLER = "teller"
IDLER = "idler"

_INPUT = r"for (?P<ms>\d+)$"
_MS = (100, 2000)
"""Long enough to be met by a blow; some longer than a silent call counts as alive."""


def agents() -> list[Agent]:
    """Return them all; the third only answers."""
    clerk = agent(
        CLERK,
        {**call("pay", "pay", ms="{input.ms}"), "input_pattern": _INPUT},
        {**call("ship", "ship", "pay", ms="{input.ms}"), "input_pattern": _INPUT},
        {**call("post", "post", "ship", ms="{input.ms}"), "input_pattern": _INPUT},
        answer("All is done: {pay}, {ship}, {post}. " * 5, "post"),
        answer("Something failed."),
    )
    teller = Agent(
        name=TELLER, model="openai:teller", instructions="Pay and ship.", tools=["pay", "ship"]
    )
    return [clerk, teller, agent(IDLER, answer("Nothing to do."))]


def wish(rng: random.Random) -> RunSpec:
    """Return something to ask of one of them."""
    return ask(CLERK if rng.random() < 0.5 else TELLER, f"work for {rng.randint(*_MS)}")
