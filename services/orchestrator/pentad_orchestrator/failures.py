"""Why runs end without an answer, in words. Pure."""

from pentad.state.v1.run_pb2 import Failure
from pentad_orchestrator import exhaustion
from pentad_orchestrator.fold import ARGUMENTS_INVALID
from pentad_orchestrator.run import Call, Run


def limit(reason: str, name: str, most: int) -> Failure:
    """Say which limit was reached."""
    what = name.removeprefix("max_").replace("_", " ")
    message = f"the run may use no more than {most} {what}"
    return Failure(reason=reason, message=message, metadata={name: str(most)})


def wall_time_reached(run: Run) -> Failure:
    """Say that the wall time is over."""
    if run.bounds.is_wall_time_of_budget:
        return exhaustion.wall_time(run)
    wall_time = f"{run.bounds.wall_time_s:g}"
    return Failure(
        reason="WALL_TIME_REACHED",
        message=f"the run did not end within {wall_time} s",
        metadata={"wall_time_s": wall_time},
    )


def poisoned(run: Run) -> Failure:
    """Say how many owners were lost."""
    lost = str(run.owners_lost)
    return Failure(
        reason="RUN_POISONED",
        message=f"{lost} owners in a row died on the run, or were cut off from it",
        metadata={"owners_lost": lost},
    )


def arguments_invalid(run: Run) -> Failure:
    """Say that the model does not learn to call its tools."""
    message = f"the model's tool arguments were invalid in {run.invalid_turns} turns in a row"
    metadata = {"agent": run.agent.name, "turns": str(run.invalid_turns)}
    return Failure(reason=ARGUMENTS_INVALID, message=message, metadata=metadata)


def of_call(call: Call) -> Failure:
    """Say which call ended in a failure of Pentad's own."""
    assert call.outcome is not None, "an outcome ends the run"
    error = call.outcome.error
    metadata = {"call_id": call.wish.call_id, "tool": call.wish.tool, **error.metadata}
    return Failure(reason=error.reason, message=error.message, metadata=metadata)
