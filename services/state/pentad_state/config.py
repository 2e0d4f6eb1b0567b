"""All that can be set, and its value when nobody sets it."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from pentad_chassis.config import Settings
from pentad_state.url import StoreUrl

_DAY_S = 24 * 3600.0


class Config(Settings, env_prefix="PENTAD_STATE_"):
    """Read from `PENTAD_STATE_*`; every problem reported at once."""

    address: str = "127.0.0.1:50055"
    """Where to listen; any gRPC target, including `unix:`."""

    redis_url: SecretStr | None = None
    """`redis://`, `rediss://` or `unix://`; `redis+sentinel://` and `redis+cluster://` name several
    servers (docs/state.md). Unset starts the embedded engine under `data_dir`."""

    data_dir: Path = Path(".pentad/state")
    """Where the embedded engine keeps its files; one service at a time may use it."""

    durability: Literal["process", "disk", "replicated"] = "disk"
    """What acknowledged writes survive: `process`, the engine's death; `disk`, the machine's too;
    `replicated`, a failover. The embedded engine is set so; a store of your own is looked at."""

    replicas: int = Field(default=1, ge=1)
    """Replicas that must have a write before it is acknowledged, where it is `replicated`."""

    replica_wait_s: float = Field(default=1.0, ge=0.01)
    """How long they may take before the write fails with DURABILITY_NOT_REACHED."""

    engine_start_s: float = Field(default=60.0, gt=0)
    """Time for the engine to load its data before the start counts as failed."""

    reply_s: float = Field(default=5.0, gt=0)
    """A store that has not answered for this long counts as lost, and is connected anew."""

    max_queued: int = Field(default=100_000, ge=64)
    """Runs that may wait, spread evenly over the partitions; beyond it new ones are refused."""

    run_retention_s: float = Field(default=7 * _DAY_S, ge=_DAY_S)
    """How long an ended run is kept; its request id is remembered as long."""

    text_retention_s: float = Field(default=60.0, gt=0)
    """How long the streamed text of a turn is kept after the turn has ended."""

    session_ttl_s: float = Field(default=30 * _DAY_S, gt=0, le=400 * _DAY_S)
    """Unused for this long, a session is forgotten, unless its writer says otherwise."""

    session_messages_max: int = Field(default=10_000, ge=1000)
    """Messages kept of one session; the oldest go first."""

    topic_retention_s: float = Field(default=7 * _DAY_S, ge=60.0, le=400 * _DAY_S)
    """How long what was published is kept."""

    topic_events_max: int = Field(default=10_000, ge=100, le=1_000_000)
    """Events kept of one topic; the oldest go first."""

    @field_validator("redis_url")
    @classmethod
    def _leads_to_a_store(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            StoreUrl.parse(url.get_secret_value())
        return url

    @field_validator("durability")
    @classmethod
    def _has_replicas(cls, durability: str, info: ValidationInfo) -> str:
        if durability == "replicated" and not info.data.get("redis_url"):
            raise ValueError("the embedded engine has no replicas; set PENTAD_STATE_REDIS_URL")
        return durability
