"""What can be set of the executor, and its value when nobody sets it."""

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from pentad_chassis.config import Settings


def _either(name: str) -> AliasChoices:
    """The variable under our own prefix, or as every client of that provider reads it."""
    return AliasChoices(f"PENTAD_EXECUTOR_{name}", name)


_OPENAI_KEY = _either("OPENAI_API_KEY")
_OPENAI_URL = _either("OPENAI_BASE_URL")
_ANTHROPIC_KEY = _either("ANTHROPIC_API_KEY")
_ANTHROPIC_URL = _either("ANTHROPIC_BASE_URL")


class Config(Settings, env_prefix="PENTAD_EXECUTOR_"):
    """Read from `PENTAD_EXECUTOR_*`, and the providers' own variables."""

    model_config = SettingsConfigDict(populate_by_name=True)

    address: str = "127.0.0.1:50053"
    """Where to listen; any gRPC target, including `unix:`."""

    state_address: str = "127.0.0.1:50055"
    """The state service, which knows the executors there are and keeps the spans of recent runs."""

    advertise_address: str = ""
    """Where orchestrators reach this executor; empty for `address`, if that says enough."""

    max_turns: int = Field(default=200, ge=1, le=10_000)
    """Turns performed at once; more are refused with OVERLOADED, and go to other executors."""

    weight: int = Field(default=100, ge=1, le=1_000_000)
    """Its share of turns beside other executors', where they go by weight."""

    region: str = Field(default="", max_length=256)
    """Where it runs, for orchestrators that prefer executors of their own region."""

    registration_ttl_s: float = Field(default=15.0, ge=0.5, le=600.0)
    """Silent for this long, it is forgotten; it gives a sign of life three times as often."""

    openai_api_key: SecretStr | None = Field(default=None, validation_alias=_OPENAI_KEY)
    """Key for `openai:` models; not needed by an endpoint of one's own that asks for none."""

    openai_base_url: str | None = Field(default=None, validation_alias=_OPENAI_URL)
    """An OpenAI-compatible endpoint, such as `http://127.0.0.1:11434/v1`; unset for OpenAI's."""

    anthropic_api_key: SecretStr | None = Field(default=None, validation_alias=_ANTHROPIC_KEY)
    """Key for `anthropic:` models."""

    anthropic_base_url: str | None = Field(default=None, validation_alias=_ANTHROPIC_URL)
    """An endpoint that speaks Anthropic's Messages API; unset for Anthropic's."""

    model_connections: int = Field(default=200, ge=1, le=10_000)
    """Connections to model providers at once; a turn beyond waits within its own timeout."""

    model_connect_timeout_s: float = Field(default=5.0, gt=0, le=60)
    """Time to reach a provider, a part of the turn's timeout."""

    turn_timeout_s: float = Field(default=120.0, gt=0, le=3600)
    """Time for a turn whose request sets none."""

    budget_bytes_per_token: float = Field(default=1.0, ge=1.0, le=8.0)
    """Bytes of a request that are taken for a token where a budget bounds the turn. With 1 no
    request has more tokens than are reserved; more lets more turns run side by side, and a budget
    be overspent by what a request has more (docs/budgets.md)."""

    budget_output_tokens: int = Field(default=8192, ge=1, le=1_000_000)
    """Tokens that a turn may write where a budget bounds them and neither run nor agent does."""

    budget_output_tokens_least: int = Field(default=64, ge=1, le=1_000_000)
    """Tokens that a budget must leave for an answer; with less left, it counts as exhausted."""

    cache_timeout_s: float = Field(default=0.25, ge=0.02, le=5)
    """Time to look an answer up in the response cache, and as much to keep one; beyond, the turn
    goes on without."""

    max_prompt_bytes: int = Field(default=1024 * 1024, ge=1024, le=4 * 1024 * 1024)
    """Size of a prompt; the oldest messages of a session are left out to stay below it."""
