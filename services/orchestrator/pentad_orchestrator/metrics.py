"""What an orchestrator counts of runs, their agents and its leases."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pentad.state.v1.event_pb2 import Event
from pentad_chassis.metrics import LONG_BUCKETS_S, Metrics, Vocabulary
from pentad_orchestrator.run import Run, seconds

_NO_CAPABILITY = "none"


class RunMetrics:
    """Numbers of all runs. Users choose agents' names, so only some are told apart."""

    def __init__(self, metrics: Metrics, tenants: int = 0) -> None:
        self.agents = Vocabulary()
        self.capabilities = Vocabulary()
        self.reasons = Vocabulary()
        self.tenants = Vocabulary(tenants)
        self.requests = metrics.counts(
            "agent_requests",
            "Steps of runs that have ended, by the agent that performed them and how.",
            ("agent", "outcome", "tenant"),
        )
        self.response_time = metrics.timings(
            "agent_response_time_seconds",
            "Time from the moment a step could begin to its end; of a first step, with the wait.",
            ("agent", "outcome"),
            LONG_BUCKETS_S,
        )
        self.active = metrics.gauge(
            "active_agents", "Agents at work, once for each of their capabilities.", ("capability",)
        )
        self.ended = metrics.counts(
            "pentad_runs_ended",
            "Runs by outcome; reason says why one failed.",
            ("outcome", "reason"),
        )
        self.durations = metrics.timings(
            "pentad_run_duration_seconds",
            "Time from a run's creation to its end.",
            ("outcome",),
            LONG_BUCKETS_S,
        )
        self.takeovers = metrics.counter(
            "pentad_run_takeovers", "Runs taken up whose owner let its lease run out."
        )
        self.leases = metrics.gauge("pentad_leases_held", "Runs that this process works on.")
        self._lost = metrics.counter(
            "pentad_leases_lost", "Runs given up before their end, by reason.", ("reason",)
        )

    def lease_lost(self, reason: str) -> None:
        """Count a run that is not ours any more."""
        self._lost.labels(self.reasons.word(reason)).inc()

    @contextmanager
    def working(self, run: Run, journal: Sequence[Event]) -> Iterator["RunMeter"]:
        """Count an agent as active inside the block, and the run's events as they are recorded."""
        meter = RunMeter(self, run, journal)
        try:
            yield meter
        finally:
            meter.leave()


class JobMetrics:
    """Numbers of jobs, by their kind."""

    def __init__(self, metrics: Metrics) -> None:
        self.done = metrics.counter("pentad_jobs_done", "Jobs done, or done for now.", ("kind",))
        self.failed = metrics.counter(
            "pentad_jobs_failed", "Attempts at jobs that failed; each is tried again.", ("kind",)
        )
        self.ages = metrics.timings(
            "pentad_job_age_seconds",
            "Time from when a job was due to its claim, by the store's clock.",
            ("kind",),
            LONG_BUCKETS_S,
        )


class RunMeter:
    """What one run adds to the numbers while this process works on it."""

    def __init__(self, metrics: RunMetrics, run: Run, journal: Sequence[Event]) -> None:
        self._metrics = metrics
        self._run = run
        self._step = run.step
        begun = [e for e in journal if e.WhichOneof("kind") in {"run_created", "step_completed"}]
        self._begun_s = seconds(begun[-1].time)
        self._active: tuple[str, ...] = ()
        self._enter()

    def recorded(self, events: Sequence[Event]) -> None:
        """Count what was journalled; within the run's span."""
        for event in events:
            match event.WhichOneof("kind"):
                case "run_started" if event.run_started.owner_lost:
                    self._metrics.takeovers.inc()
                case "step_completed":
                    self._step_ended("completed", event)
                case "run_completed":
                    self._run_ended("completed", "", event)
                case "run_failed":
                    self._run_ended("failed", event.run_failed.failure.reason, event)
                case "run_cancelled":
                    self._run_ended("cancelled", "", event)

    def leave(self) -> None:
        """The agent is not at work any more, at least not here."""
        for capability in self._active:
            self._metrics.active.labels(capability).dec()
        self._active = ()

    def _enter(self) -> None:
        if self._in_step:
            agent = self._run.agents[self._run.steps[self._step].agent]
            words = {self._metrics.capabilities.word(each) for each in agent.capabilities}
            self._active = tuple(words or {_NO_CAPABILITY})
        for capability in self._active:
            self._metrics.active.labels(capability).inc()

    @property
    def _in_step(self) -> bool:
        return self._step < len(self._run.steps)

    def _step_ended(self, outcome: str, event: Event) -> None:
        name = self._run.steps[self._step].agent
        agent = self._metrics.agents.word(name)
        tenant = self._metrics.tenants.word(self._run.created.tenant)
        ended_s = seconds(event.time)
        self._metrics.requests.add(agent, outcome, tenant)
        self._metrics.response_time.observe(max(0.0, ended_s - self._begun_s), (agent, outcome))
        self._step += 1
        self._begun_s = ended_s
        self.leave()
        self._enter()

    def _run_ended(self, outcome: str, reason: str, event: Event) -> None:
        if self._in_step:
            self._step_ended(outcome, event)
        self.leave()
        self._metrics.ended.add(outcome, self._metrics.reasons.word(reason))
        took_s = seconds(event.time) - self._run.created_at_s
        self._metrics.durations.observe(max(0.0, took_s), (outcome,))
