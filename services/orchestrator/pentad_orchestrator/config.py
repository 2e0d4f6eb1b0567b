"""All that can be set, and its value when nobody sets it."""

from typing import Literal

from pydantic import Field

from pentad_chassis.config import Settings


class Config(Settings, env_prefix="PENTAD_ORCHESTRATOR_"):
    """Read from `PENTAD_ORCHESTRATOR_*`; every problem reported at once."""

    address: str = "127.0.0.1:50052"
    """Where to listen; any gRPC target, including `unix:`."""

    executor_address: str = "127.0.0.1:50053"
    """Where the executor service listens; used as long as no executor is in the registry."""

    routing: Literal[
        "round_robin", "least_busy", "weighted", "session_affinity", "nearest_region"
    ] = "round_robin"
    """Which executor performs a turn, for agents that do not say."""

    region: str = ""
    """Where this process runs; executors of the same region are near."""

    executors_poll_s: float = Field(default=2.0, ge=0.05, le=60.0)
    """How often the registry is asked which executors there are."""

    tools_address: str = "127.0.0.1:50054"
    """Where the tools service listens."""

    state_address: str = "127.0.0.1:50055"
    """Where the state service listens."""

    max_runs: int = Field(default=1000, ge=1)
    """Runs this process works on at once; others wait in the schedule or go to replicas."""

    lease_s: float = Field(default=10.0, ge=0.5, le=300.0)
    """A run whose owner is silent for this long goes to another one."""

    claim_wait_s: float = Field(default=20.0, ge=0.1, le=30.0)
    """How long one request for work waits for some to appear."""

    max_jobs: int = Field(default=32, ge=1, le=1000)
    """Jobs, such as a schedule's time that has come, that this process does at once."""

    job_lease_s: float = Field(default=10.0, ge=1.0, le=300.0)
    """A job whose process is silent for this long is done by another one."""

    window_messages: int = Field(default=100, ge=1, le=1000)
    """Messages of a session that a run sees at most."""

    window_tokens: int = Field(default=32_000, ge=1)
    """Tokens of a session that a run sees at most, estimated at four bytes each."""

    text_interval_s: float = Field(default=0.05, ge=0.0, le=5.0)
    """Text of models, but the first of it, is collected this long before it is sent on."""

    catalogue_max_age_s: float = Field(default=5.0, ge=0.0)
    """How long the tools service's catalogue is taken as current when a run is created."""

    retry_s_first: float = Field(default=0.1, gt=0.0)
    """Longest first pause before a peer that is away is called again; doubles each time."""

    retry_s_max: float = Field(default=10.0, gt=0.0)
    """Longest pause of all."""
