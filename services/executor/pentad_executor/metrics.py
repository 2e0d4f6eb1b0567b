"""What the executor counts of its models: turns, tokens, money, and answers given again."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from pentad.executor.v1.executor_service_pb2 import ExecuteTurnRequest, TurnResult
from pentad_chassis.metrics import LONG_BUCKETS_S, Metrics, Vocabulary
from pentad_chassis.semconv import OPERATION_CHAT
from pentad_executor.models import Choice

_TOKEN_BUCKETS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304)
_CALL = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")


class ModelMetrics:
    """Numbers by provider and model. Agents choose models' names, so only some are told apart."""

    def __init__(self, metrics: Metrics, tenants: int = 0) -> None:
        self._models = Vocabulary()
        self._tenants = Vocabulary(tenants)
        self._calls = metrics.timings(
            "gen_ai_client_operation_duration_seconds",
            "Turns performed by a model; error_type is empty for one that gave a result.",
            (*_CALL, "error_type"),
            LONG_BUCKETS_S,
        )
        self._usage = metrics.histogram(
            "gen_ai_client_token_usage",
            "Tokens of one turn, by type.",
            (*_CALL, "gen_ai_token_type"),
            _TOKEN_BUCKETS,
        )
        labels = ("provider", "model", "tenant")
        self._tokens = metrics.counter(
            "pentad_model_tokens", "Tokens by type: input, output, and cached ones of the input.",
            (*labels, "type"),
        )  # fmt: skip
        self._cost = metrics.counter(
            "pentad_model_cost_usd", "US dollars by the public price list.", labels
        )
        self._unpriced = metrics.counter(
            "pentad_model_turns_unpriced", "Turns whose cost is not known.", labels
        )

    @contextmanager
    def turn(self, choice: Choice) -> Iterator[None]:
        """Count the turn inside the block, by how it ends; inside the block's span."""
        begun = monotonic()
        labels = (OPERATION_CHAT, choice.provider, self._models.word(choice.name))
        error_type = ""
        try:
            yield
        except BaseException as error:
            other = "INTERNAL" if isinstance(error, Exception) else "CANCELLED"
            error_type = str(getattr(error, "reason", other))
            raise
        finally:
            self._calls.observe(monotonic() - begun, (*labels, error_type))

    def consumed(self, turn: ExecuteTurnRequest, choice: Choice, result: TurnResult) -> None:
        """Count what a turn consumed."""
        usage = result.usage
        model, tenant = self._models.word(choice.name), self._tenants.word(turn.tenant)
        labels = (choice.provider, model, tenant)
        for kind, count in (("input", usage.input_tokens), ("output", usage.output_tokens)):
            self._usage.labels(OPERATION_CHAT, choice.provider, model, kind).observe(count)
            self._tokens.labels(*labels, kind).inc(count)
        self._tokens.labels(*labels, "cached").inc(usage.cached_input_tokens)
        if usage.HasField("cost_nano_usd"):
            self._cost.labels(*labels).inc(usage.cost_nano_usd / 1e9)
        else:
            self._unpriced.labels(*labels).inc()


class CacheMetrics:
    """How often the response cache has an answer, and what becomes of those it might keep."""

    def __init__(self, metrics: Metrics, tenants: int = 0) -> None:
        self._agents = Vocabulary()
        self._tenants = Vocabulary(tenants)
        labels = ("agent", "tenant", "outcome")
        self._lookups = metrics.counter(
            "pentad_response_cache_lookups", "Answers looked for: hit, miss or error.", labels
        )
        self._stores = metrics.counter(
            "pentad_response_cache_stores", "Answers to keep: stored, unfit or error.", labels
        )

    def labels(self, turn: ExecuteTurnRequest) -> tuple[str, str]:
        """Return the names that stand for the turn's agent and tenant."""
        return self._agents.word(turn.agent.name), self._tenants.word(turn.tenant)

    def looked_up(self, labels: tuple[str, str], outcome: str) -> None:
        """Count a look-up."""
        self._lookups.labels(*labels, outcome).inc()

    def kept(self, labels: tuple[str, str], outcome: str) -> None:
        """Count an answer that was to be kept."""
        self._stores.labels(*labels, outcome).inc()
