"""The response cache: answers of models, kept in the state service and given again.

It is a convenience that nothing depends on. Whatever goes wrong with it is a miss, within a
short time of its own, and the model is asked.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from structlog.typing import FilteringBoundLogger

from pentad.executor.v1.executor_service_pb2 import ExecuteTurnRequest, TurnResult
from pentad.state.v1.entry_service_pb2 import GetEntryRequest, PutEntryRequest
from pentad.state.v1.message_pb2 import Message, Usage
from pentad.state.v1.tool_pb2 import Effect
from pentad_chassis.errors import NotFound, ServiceError
from pentad_executor.config import Config
from pentad_executor.errors import ModelRefused
from pentad_executor.metrics import CacheMetrics
from pentad_executor.models import RULES
from pentad_executor.prompt import conversation, instructions

if TYPE_CHECKING:
    from pentad.state.v1.entry_service_pb2_grpc import EntryServiceAsyncStub

VALUE_BYTES_MAX = 256 * 1024
"""What an entry of the state service may hold; a larger answer is not kept."""

_FORM = 1
"""Raised when what is kept changes its meaning: answers of another form are not found."""

_REPEATABLE = {Effect.EFFECT_PURE, Effect.EFFECT_IDEMPOTENT}
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the answer to one turn is kept."""

    scope: str
    """Holds the tenant: whatever a digest says, tenants never meet."""

    key: str
    ttl: Duration
    labels: tuple[str, str]
    """Agent and tenant, as metrics name them."""


class ResponseCache:
    """Finds and keeps the answers of agents that have a `response_cache`."""

    def __init__(
        self,
        entries: "EntryServiceAsyncStub",
        config: Config,
        metrics: CacheMetrics,
        log: FilteringBoundLogger,
    ) -> None:
        self._entries = entries
        self._endpoints = {
            "openai": config.openai_base_url,
            "anthropic": config.anthropic_base_url,
        }
        self._prompt_bytes = config.max_prompt_bytes
        self._timeout_s = config.cache_timeout_s
        self._metrics = metrics
        self._log = log
        self._away = False

    def place(self, turn: ExecuteTurnRequest) -> Place | None:
        """Return where the turn's answer is kept; None if it is not to be."""
        provider = turn.agent.model.partition(":")[0]
        if not turn.agent.HasField("response_cache") or provider == RULES:
            return None
        try:
            key = digest(turn, self._endpoints.get(provider) or "", self._prompt_bytes)
        except (ModelRefused, ValueError):
            # Such a prompt cannot be sent; the model's own side says so, and why.
            return None
        return Place(
            # Parts of a scope share a place in the store: a tenant's answers are spread over many.
            scope=f"responses/{key[:2]}/{turn.tenant}",
            key=key,
            ttl=turn.agent.response_cache.ttl,
            labels=self._metrics.labels(turn),
        )

    async def find(self, place: Place) -> TurnResult | None:
        """Return the answer that is kept there, as one that consumed nothing."""
        request = GetEntryRequest(scope=place.scope, key=place.key)
        try:
            response = await self._entries.GetEntry(request, timeout=self._timeout_s)
            result = TurnResult.FromString(response.entry.value)
        except NotFound:
            self._works()
            self._metrics.looked_up(place.labels, "miss")
            return None
        except (ServiceError, DecodeError) as error:
            self._fails(error)
            self._metrics.looked_up(place.labels, "error")
            return None
        self._works()
        self._metrics.looked_up(place.labels, "hit")
        result.usage.CopyFrom(Usage(cost_nano_usd=0))
        result.from_cache = True
        return result

    async def keep(self, place: Place, turn: ExecuteTurnRequest, result: TurnResult) -> None:
        """Keep an answer that may be given again; of equal turns at once, the last one's stays."""
        value = result.SerializeToString()
        if not is_repeatable(turn, result) or len(value) > VALUE_BYTES_MAX:
            self._metrics.kept(place.labels, "unfit")
            return
        request = PutEntryRequest(scope=place.scope, key=place.key, value=value, ttl=place.ttl)
        try:
            await self._entries.PutEntry(request, timeout=self._timeout_s)
        except ServiceError as error:
            self._fails(error)
            self._metrics.kept(place.labels, "error")
            return
        self._works()
        self._metrics.kept(place.labels, "stored")

    def _fails(self, error: Exception) -> None:
        if not self._away:
            reason = getattr(error, "reason", type(error).__name__)
            self._log.warning("response cache away", reason=reason)
        self._away = True

    def _works(self) -> None:
        if self._away:
            self._log.info("response cache is back")
        self._away = False


def is_repeatable(turn: ExecuteTurnRequest, result: TurnResult) -> bool:
    """Whether another turn may have the same answer.

    One that calls a `ONCE` tool is given to its own run only: what cannot be undone follows from
    what a model said then and there. Nor is a mistake worth keeping: an answer that its limit
    may have cut off, a call of a tool that is not there, arguments that are none.
    """
    effects = {tool.name: tool.effect for tool in turn.tools}
    whole = not turn.max_output_tokens or result.usage.output_tokens < turn.max_output_tokens
    return whole and all(
        effects.get(call.tool) in _REPEATABLE and call.arguments.content_type == _JSON
        for call in result.message.tool_calls
    )


def digest(turn: ExecuteTurnRequest, endpoint: str, max_prompt_bytes: int) -> str:
    """Return a digest of all that decides a turn's answer: the model, and what it is told.

    It covers the prompt as the model gets it, so that whatever makes another prompt makes
    another digest. No id is in it, nor who asks, nor when. The time that an agent lets answers
    live is: it would otherwise be given older ones that another agent keeps longer.
    """
    told = {
        "form": _FORM,
        "model": [endpoint, turn.agent.model],
        "system": instructions(turn),
        "messages": _said(conversation(turn, max_prompt_bytes)),
        "tools": [[t.name, t.description, MessageToDict(t.input_schema)] for t in turn.tools],
        "max_output_tokens": turn.max_output_tokens,
        "ttl_ns": turn.agent.response_cache.ttl.ToNanoseconds(),
    }
    text = json.dumps(told, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _said(messages: Sequence[Message]) -> list[Any]:
    """Return a conversation in which calls are numbered: providers make their ids up anew."""
    numbers: dict[str, int] = {}

    def number(model_call_id: str) -> int:
        return numbers.setdefault(model_call_id, len(numbers))

    return [
        [
            message.role,
            message.text,
            [[c.tool, c.arguments.text, number(c.model_call_id)] for c in message.tool_calls],
            message.tool,
            number(message.model_call_id),
            message.failed,
        ]
        for message in messages
    ]
