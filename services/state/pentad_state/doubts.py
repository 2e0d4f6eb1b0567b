"""What a paused run waits to hear of its calls, and what is said of them."""

from pentad.state.v1.event_pb2 import RunResumed
from pentad.state.v1.run_pb2 import Run, Settlement, UnknownEffect
from pentad_chassis.errors import InvalidArgument
from pentad_state.bounds import invalid
from pentad_state.errors import SettlementMissing
from pentad_state.journal import tag_of


def doubt(about: UnknownEffect | Settlement) -> str:
    """Return what `run_append` keeps of a doubt, and `run_resume` looks for: call and attempt."""
    return f"{tag_of(about.call_id)}:{about.attempt}"


def unsettled(run: Run, resumed: RunResumed) -> SettlementMissing | InvalidArgument:
    """Return why a paused run does not go on with what was said."""
    said = {doubt(settlement) for settlement in resumed.settlements}
    fitting: set[str] = set()
    for effect in run.status.pause.unknown_effects:
        fits = {doubt(effect), doubt(Settlement(call_id=effect.call_id))}
        if not said & fits:
            return SettlementMissing(run.run_id, effect.call_id, effect.tool, effect.attempt)
        fitting |= fits
    odd = (i for i, each in enumerate(resumed.settlements) if doubt(each) not in fitting)
    field = f"resumed.settlements[{next(odd, 0)}].call_id"
    return invalid(field, "must be one of the run's unknown effects, each once")
