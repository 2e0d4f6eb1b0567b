"""All that can be set, and its value when nobody sets it."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from pentad_chassis.config import Settings

_DAY_S = 24 * 3600.0


class Config(Settings, env_prefix="PENTAD_STATE_"):
    """Read from `PENTAD_STATE_*`; every problem reported at once."""

    address: str = "127.0.0.1:50055"
    """Where to listen; any gRPC target, including `unix:`."""

    redis_url: SecretStr | None = None
    """`redis://`, `rediss://` or `unix://`; unset starts the embedded engine under `data_dir`."""

    data_dir: Path = Path(".pentad/state")
    """Where the embedded engine keeps its files; one service at a time may use it."""

    durability: Literal["process", "disk"] = "disk"
    """What the embedded engine survives: `process`, its own death; `disk`, the machine's too."""

    engine_start_s: float = Field(default=60.0, gt=0)
    """Time for the engine to load its data before the start counts as failed."""

    reply_s: float = Field(default=5.0, gt=0)
    """A store that has not answered for this long counts as lost, and is connected anew."""

    run_retention_s: float = Field(default=7 * _DAY_S, ge=_DAY_S)
    """How long an ended run is kept; its request id is remembered as long."""

    text_retention_s: float = Field(default=60.0, gt=0)
    """How long the streamed text of a turn is kept after the turn has ended."""

    session_ttl_s: float = Field(default=30 * _DAY_S, gt=0, le=400 * _DAY_S)
    """Unused for this long, a session is forgotten, unless its writer says otherwise."""

    session_messages_max: int = Field(default=10_000, ge=1000)
    """Messages kept of one session; the oldest go first."""
