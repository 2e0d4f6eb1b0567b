"""What a paused run waits to hear of its calls, and what is said of them."""

from collections.abc import Iterable

from pentad.state.v1.event_pb2 import RunResumed
from pentad.state.v1.run_pb2 import Settlement, UnknownEffect
from pentad_chassis.errors import InvalidArgument
from pentad_state.bounds import invalid
from pentad_state.errors import SettlementMissing
from pentad_state.journal import tag_of

SETTLEMENTS_MAX = 1000


def doubt(about: UnknownEffect | Settlement) -> str:
    """Return how a doubt is kept, and found when it is settled: call and attempt."""
    return f"{tag_of(about.call_id)}:{about.attempt}"


def unsettled(
    run_id: str, effects: Iterable[UnknownEffect], resumed: RunResumed, field: str
) -> SettlementMissing | InvalidArgument:
    """Return why a paused run does not go on with what was said in a field."""
    said = {doubt(settlement) for settlement in resumed.settlements}
    fitting: set[str] = set()
    for effect in effects:
        fits = {doubt(effect), doubt(Settlement(call_id=effect.call_id))}
        if not said & fits:
            return SettlementMissing(run_id, effect.call_id, effect.tool, effect.attempt)
        fitting |= fits
    odd = (i for i, each in enumerate(resumed.settlements) if doubt(each) not in fitting)
    return invalid(
        f"{field}[{next(odd, 0)}].call_id", "must be one of the run's unknown effects, each once"
    )
