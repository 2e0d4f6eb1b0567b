"""What is counted of a model's turns."""

import asyncio

import pytest
from harness.turns import llm_turn

from pentad.executor.v1.executor_service_pb2 import TurnResult
from pentad.state.v1.message_pb2 import Usage
from pentad_chassis.metrics import Metrics
from pentad_executor.errors import ModelUnavailable
from pentad_executor.metrics import ModelMetrics
from pentad_executor.models import Choice
from pentad_executor.rules import RulesModel

CHOICE = Choice("openai", "gpt-5", RulesModel())
CALL = {
    "gen_ai_operation_name": "chat",
    "gen_ai_provider_name": "openai",
    "gen_ai_request_model": "gpt-5",
}


class Counted:
    def __init__(self, tenants: int = 0) -> None:
        self._registry = (metrics := Metrics()).registry
        self.models = ModelMetrics(metrics, tenants)

    def value(self, name: str, **labels: str) -> float:
        return self._registry.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize(
    ("error", "error_type"),
    [
        (ModelUnavailable("openai:gpt-5", "no answer"), "MODEL_UNAVAILABLE"),
        (asyncio.CancelledError(), "CANCELLED"),
        (GeneratorExit(), "CANCELLED"),
        (KeyError("what the user said"), "INTERNAL"),
    ],
)
def test_a_turn_is_counted_by_what_became_of_it(error: BaseException, error_type: str) -> None:
    counted = Counted()

    with counted.models.turn(CHOICE):
        pass
    with pytest.raises(type(error)), counted.models.turn(CHOICE):
        raise error

    name = "gen_ai_client_operation_duration_seconds_count"
    assert counted.value(name, **CALL, error_type="") == 1
    assert counted.value(name, **CALL, error_type=error_type) == 1


def test_tokens_and_cost_are_summed() -> None:
    counted = Counted(tenants=5)
    turn = llm_turn()
    turn.tenant = "acme"
    usage = Usage(
        input_tokens=100, output_tokens=20, cached_input_tokens=60, cost_nano_usd=1_500_000_000
    )

    counted.models.consumed(turn, CHOICE, TurnResult(usage=usage))
    counted.models.consumed(turn, CHOICE, TurnResult(usage=Usage(input_tokens=1)))

    labels = {"provider": "openai", "model": "gpt-5", "tenant": "acme"}
    for kind, count in (("input", 101), ("output", 20), ("cached", 60)):
        assert counted.value("pentad_model_tokens_total", **labels, type=kind) == count
    assert counted.value("pentad_model_cost_usd_total", **labels) == 1.5
    assert counted.value("pentad_model_turns_unpriced_total", **labels) == 1
    name = "gen_ai_client_token_usage_sum"
    assert counted.value(name, **CALL, gen_ai_token_type="input") == 101
