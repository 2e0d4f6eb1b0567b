"""What every system is asked to do, and what must come of it."""

from enum import StrEnum

QUESTION = "Where is my order?"
ANSWER = "Your order is on its way."
STEPS = 5
TOKENS = tuple(f"token{number} " for number in range(200))


class Work(StrEnum):
    """What one run consists of, by its name on the command line."""

    SIMPLE = "simple"
    """One agent answers, once."""

    STEPS = "steps"
    """Five steps in sequence, each recorded before the run has ended."""

    STREAM = "stream"
    """One agent passes a model's tokens on as they come."""

    @property
    def heading(self) -> str:
        """Its name in tables."""
        return _TITLES[self]


_TITLES = {
    Work.SIMPLE: "Simple run",
    Work.STEPS: f"{STEPS}-step durable run",
    Work.STREAM: f"{len(TOKENS)}-token stream",
}
