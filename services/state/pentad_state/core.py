"""What the state service does, one part for each noun."""

from dataclasses import dataclass

from pentad_chassis.clock import Clock
from pentad_state.agents import Agents
from pentad_state.appends import Appends
from pentad_state.approvals import Approvals
from pentad_state.budgets import Budgets
from pentad_state.config import Config
from pentad_state.effects import Effects
from pentad_state.entries import Entries
from pentad_state.forks import Forks
from pentad_state.job_queue import JobQueues
from pentad_state.jobs import Jobs
from pentad_state.leases import Leases
from pentad_state.metrics import StateMetrics
from pentad_state.registry import Registry
from pentad_state.runs import Runs
from pentad_state.schedule import Schedule
from pentad_state.sessions import Sessions
from pentad_state.slots import Slots
from pentad_state.store import Store
from pentad_state.subscribers import Subscribers
from pentad_state.tails import Tails
from pentad_state.texts import Texts
from pentad_state.topics import Topics
from pentad_state.traces import Traces
from pentad_state.usage import Usage
from pentad_state.watchers import Watchers
from pentad_state.wishes import Wishes


@dataclass(frozen=True, slots=True)
class StateCore:
    """Every durable fact. Each part checks its bounds and says what the store's verdicts mean."""

    runs: Runs
    appends: Appends
    wishes: Wishes
    approvals: Approvals
    leases: Leases
    schedule: Schedule
    watchers: Watchers
    texts: Texts
    tails: Tails
    sessions: Sessions
    slots: Slots
    forks: Forks
    entries: Entries
    effects: Effects
    agents: Agents
    registry: Registry
    traces: Traces
    budgets: Budgets
    usage: Usage
    jobs: Jobs
    job_queues: JobQueues
    topics: Topics
    subscribers: Subscribers

    @classmethod
    def over(cls, store: Store, config: Config, clock: Clock, metrics: StateMetrics) -> "StateCore":
        """Return the service over a store."""
        leases, watchers = Leases(store), Watchers()
        slots, sessions = Slots(store), Sessions(store, config)
        runs = Runs(store, config, slots)
        jobs, subscribers = Jobs(store), Subscribers()
        budgets = Budgets(store)
        return cls(
            runs=runs,
            appends=Appends(store, config, watchers),
            wishes=Wishes(store),
            approvals=Approvals(store),
            leases=leases,
            schedule=Schedule(leases, clock, metrics),
            watchers=watchers,
            texts=Texts(store, watchers),
            tails=Tails(store, runs, watchers, clock),
            sessions=sessions,
            slots=slots,
            forks=Forks(store, config, sessions),
            entries=Entries(store),
            effects=Effects(store),
            agents=Agents(store),
            registry=Registry(store),
            traces=Traces(store),
            budgets=budgets,
            usage=Usage(store, budgets),
            jobs=jobs,
            job_queues=JobQueues(jobs, clock),
            topics=Topics(store, config, subscribers, clock),
            subscribers=subscribers,
        )
