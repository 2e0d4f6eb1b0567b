"""The one place where the executor's parts meet."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from pentad.executor.v1.executor_service_pb2_grpc import add_ExecutorServiceServicer_to_server
from pentad.state.v1.budget_service_pb2_grpc import BudgetServiceStub
from pentad.state.v1.entry_service_pb2_grpc import EntryServiceStub
from pentad.state.v1.registry_service_pb2 import Instance
from pentad.state.v1.registry_service_pb2_grpc import RegistryServiceStub
from pentad.state.v1.trace_service_pb2 import RecordSpansRequest, Span
from pentad.state.v1.trace_service_pb2_grpc import TraceServiceStub
from pentad_chassis.channel import open_channel
from pentad_chassis.clock import SystemClock
from pentad_chassis.server import serving
from pentad_chassis.spans import recording_spans
from pentad_chassis.telemetry import Telemetry
from pentad_executor.budgets import Budgets
from pentad_executor.cache import ResponseCache
from pentad_executor.config import Config
from pentad_executor.core import ExecutorCore
from pentad_executor.metrics import CacheMetrics, ModelMetrics
from pentad_executor.models import MissingKey, Model, Providers
from pentad_executor.registration import reachable_at, registered
from pentad_executor.rules import RulesModel
from pentad_executor.servicer import ExecutorServicer
from pentad_executor.settlements import open_settlements

if TYPE_CHECKING:
    from pentad.state.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub

_RECORD_TIMEOUT_S = 2.0


@asynccontextmanager
async def open_app(config: Config, telemetry: Telemetry) -> AsyncIterator[None]:
    """Serve while the block runs; leaving it undoes every step in reverse."""
    async with (
        open_channel("state", config.state_address, config, telemetry) as channel,
        open_providers(config) as providers,
        open_settlements(BudgetServiceStub(channel), telemetry.log) as settlements,
    ):
        ledger = BudgetServiceStub(channel)
        trace = TraceServiceStub(channel)

        async def record(spans: list[Span]) -> None:
            await trace.RecordSpans(RecordSpansRequest(spans=spans), timeout=_RECORD_TIMEOUT_S)

        metrics = ModelMetrics(telemetry.metrics, config.metrics_tenants)
        counted = CacheMetrics(telemetry.metrics, config.metrics_tenants)
        cache = ResponseCache(EntryServiceStub(channel), config, counted, telemetry.log)
        budgets = Budgets(ledger, settlements, config, SystemClock())
        core = ExecutorCore(providers, cache, budgets, telemetry, metrics, config.turn_timeout_s)
        register = partial(add_ExecutorServiceServicer_to_server, ExecutorServicer(core))
        bounded = config.model_copy(update={"max_streams": config.max_turns})
        instance = _instance(config, providers, telemetry)

        def describe() -> Instance:
            instance.in_hand = core.in_hand
            return instance

        async with (
            recording_spans(telemetry, record),
            serving(bounded, telemetry, [register]),
            _known(config, describe, RegistryServiceStub(channel), telemetry),
        ):
            telemetry.log.info("models ready", providers=list(instance.capabilities))
            yield


@asynccontextmanager
async def _known(
    config: Config,
    describe: Callable[[], Instance],
    registry: "RegistryServiceAsyncStub",
    telemetry: Telemetry,
) -> AsyncIterator[None]:
    """Be in the registry inside the block, unless nobody could reach what would stand there."""
    if not describe().address:
        telemetry.log.warning("not registered: no advertise_address", address=config.address)
        yield
        return
    async with registered(registry, describe, config.registration_ttl_s, telemetry.log):
        yield


def _instance(config: Config, providers: Providers, telemetry: Telemetry) -> Instance:
    return Instance(
        instance_id=telemetry.health.instance,
        address=config.advertise_address or reachable_at(config.address),
        capabilities=sorted(_configured(providers)),
        room=config.max_turns,
        weight=config.weight,
        region=config.region,
    )


@asynccontextmanager
async def open_providers(config: Config) -> AsyncIterator[Providers]:
    """Open the models that the configuration has keys for, with one HTTP client for all.

    Only those are imported: their libraries take half a second, which an offline suite does not
    pay and a running one could not, for the import would hold up its event loop.
    """
    providers: dict[str, Model | MissingKey] = {
        "rules": RulesModel(),
        "openai": MissingKey("OPENAI_API_KEY"),
        "anthropic": MissingKey("ANTHROPIC_API_KEY"),
    }
    async with AsyncExitStack() as stack:
        with_openai = bool(config.openai_api_key or config.openai_base_url)
        if with_openai or config.anthropic_api_key:
            from pentad_executor.provider import open_http  # noqa: PLC0415

            http = await stack.enter_async_context(open_http(config))
        if with_openai:
            from pentad_executor.openai_models import openai_models  # noqa: PLC0415

            providers["openai"] = openai_models(config, http)
        if config.anthropic_api_key:
            from pentad_executor.anthropic_models import anthropic_models  # noqa: PLC0415

            providers["anthropic"] = anthropic_models(config, http)
        yield providers


def _configured(providers: Providers) -> list[str]:
    return [name for name, model in providers.items() if not isinstance(model, MissingKey)]
