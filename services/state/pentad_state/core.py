"""What the state service does, one part for each noun."""

from dataclasses import dataclass

from pentad_chassis.clock import Clock
from pentad_state.agents import Agents
from pentad_state.config import Config
from pentad_state.effects import Effects
from pentad_state.entries import Entries
from pentad_state.leases import Leases
from pentad_state.metrics import StateMetrics
from pentad_state.registry import Registry
from pentad_state.runs import Runs
from pentad_state.schedule import Schedule
from pentad_state.sessions import Sessions
from pentad_state.store import Store
from pentad_state.tails import Tails
from pentad_state.texts import Texts
from pentad_state.traces import Traces
from pentad_state.watchers import Watchers


@dataclass(frozen=True, slots=True)
class StateCore:
    """Every durable fact. Each part checks its bounds and says what the store's verdicts mean."""

    runs: Runs
    leases: Leases
    schedule: Schedule
    watchers: Watchers
    texts: Texts
    tails: Tails
    sessions: Sessions
    entries: Entries
    effects: Effects
    agents: Agents
    registry: Registry
    traces: Traces

    @classmethod
    def over(cls, store: Store, config: Config, clock: Clock, metrics: StateMetrics) -> "StateCore":
        """Return the service over a store."""
        leases, watchers = Leases(store), Watchers()
        runs = Runs(store, config, watchers)
        return cls(
            runs=runs,
            leases=leases,
            schedule=Schedule(leases, clock, metrics),
            watchers=watchers,
            texts=Texts(store, watchers),
            tails=Tails(store, runs, watchers, clock),
            sessions=Sessions(store, config),
            entries=Entries(store),
            effects=Effects(store),
            agents=Agents(store),
            registry=Registry(store),
            traces=Traces(store),
        )
