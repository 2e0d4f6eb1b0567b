"""Which turns share an answer, which answers are kept, and that nothing depends on any of it."""

import io
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import pytest
from harness.fake_entries import FakeEntries
from harness.fakes import direct
from harness.turns import asked, llm_turn, told
from hypothesis import given
from hypothesis import strategies as st

from pentad.executor.v1.executor_service_pb2 import ExecuteTurnRequest, StepOutput, TurnResult
from pentad.state.v1.message_pb2 import Message, Payload, ToolCall, Usage
from pentad.state.v1.tool_pb2 import Effect, Tool
from pentad_chassis.telemetry import open_telemetry
from pentad_executor.cache import VALUE_BYTES_MAX, Place, ResponseCache, digest
from pentad_executor.config import Config
from pentad_executor.metrics import CacheMetrics

MANY = 1024 * 1024


@dataclass(frozen=True)
class Told:
    """All that decides an answer."""

    model: str = "openai:gpt-5"
    instructions: str = "Be brief."
    tool: str = "look"
    description: str = "Looks up."
    schema: str = "string"
    history: tuple[str, ...] = ("before", "yes")
    run_input: str = "the task"
    step: str = "how many?"
    earlier: str = "3 open"
    arguments: str = '{"key": "x"}'
    result: str = "found"
    failed: bool = False
    max_output_tokens: int = 100
    ttl_s: int = 60

    def turn(self, call_id: str = "call_1", **beside: Any) -> ExecuteTurnRequest:
        """Return a turn that tells this; what stands `beside` it decides nothing."""
        tool = Tool(name=self.tool, description=self.description)
        properties = {"key": {"type": self.schema}, "after": {"type": "integer"}}
        tool.input_schema.update({"type": "object", "properties": properties})
        roles = (Message.ROLE_USER, Message.ROLE_ASSISTANT)
        turn = llm_turn(
            self.model,
            run_input=self.run_input,
            input=self.step,
            tools=[tool],
            history=[Message(role=roles[i % 2], text=t) for i, t in enumerate(self.history)],
            earlier_steps=[StepOutput(step="count", output=self.earlier)],
            messages=[
                asked(call_id, self.tool, self.arguments),
                told(call_id, self.result, self.tool, failed=self.failed),
            ],
            max_output_tokens=self.max_output_tokens,
        )
        turn.agent.instructions = self.instructions
        turn.agent.response_cache.ttl.FromSeconds(self.ttl_s)
        turn.MergeFrom(ExecuteTurnRequest(**beside))
        return turn


CHANGES: dict[str, Any] = {
    "model": "openai:gpt-5-mini",
    "instructions": "Be brief!",
    "tool": "look_up",
    "description": "Looks up",
    "schema": "number",
    "history": ("before", "no"),
    "run_input": "a task",
    "step": "how many",
    "earlier": "4 open",
    "arguments": '{"key": "y"}',
    "result": "lost",
    "failed": True,
    "max_output_tokens": 101,
    "ttl_s": 61,
}
IDS = st.text("abc_", min_size=1, max_size=8)


def key(turn: ExecuteTurnRequest, endpoint: str = "", prompt_bytes: int = MANY) -> str:
    return digest(turn, endpoint, prompt_bytes)


@st.composite
def tellings(draw: st.DrawFn) -> Told:
    """Draw what is told, each part as it is or changed."""
    return replace(
        Told(), **{name: value for name, value in CHANGES.items() if draw(st.booleans())}
    )


@given(tellings(), tellings(), IDS, IDS)
def test_turns_share_a_key_if_and_only_if_the_same_is_told(
    one: Told, other: Told, one_id: str, other_id: str
) -> None:
    same = asdict(one) == asdict(other)

    assert (key(one.turn(one_id)) == key(other.turn(other_id))) is same


@pytest.mark.parametrize("part", CHANGES)
def test_each_part_counts(part: str) -> None:
    assert set(CHANGES) == set(asdict(Told())), "every part is changed here"
    assert key(replace(Told(), **{part: CHANGES[part]}).turn()) != key(Told().turn())


@given(tellings(), IDS, st.integers(1, 99))
def test_who_asks_and_when_does_not_count(said: Told, name: str, number: int) -> None:
    other = said.turn(tenant=name, run_id=name, turn=number)
    other.timeout.FromSeconds(number)
    other.agent.name, other.agent.revision, other.agent.description = name, number, name
    other.agent.update_time.FromSeconds(number)
    other.messages[0].tool_calls[0].call_id = name
    other.messages[1].call_id = name

    assert key(other) == key(said.turn())


@given(st.permutations(["key", "after", "type", "properties"]))
def test_the_order_of_a_schemas_fields_does_not_count(names: list[str]) -> None:
    turns = [llm_turn(), llm_turn()]
    for turn, order in zip(turns, (names, sorted(names)), strict=True):
        turn.tools[0].input_schema.Clear()
        turn.tools[0].input_schema.update({name: name for name in order})

    assert key(turns[0]) == key(turns[1])


def test_which_call_a_result_answers_counts() -> None:
    both = asked("a", arguments='{"key": 1}')
    both.tool_calls.append(asked("b", arguments='{"key": 2}').tool_calls[0])
    straight = llm_turn(messages=[both, told("a", "one"), told("b", "two")])
    crossed = llm_turn(messages=[both, told("b", "one"), told("a", "two")])

    assert key(straight) != key(crossed)


def test_text_cannot_pass_for_another_part() -> None:
    assert key(llm_turn(text='a","b')) != key(llm_turn(text="a", history=[Message(text="b")]))


def test_the_endpoint_counts() -> None:
    assert key(llm_turn(), "http://one/v1") != key(llm_turn(), "http://other/v1")


def test_history_that_no_longer_fits_a_prompt_does_not_count() -> None:
    question, answer = Message(role=Message.ROLE_USER), Message(role=Message.ROLE_ASSISTANT)
    question.text, answer.text = "x" * 5000, "y"
    long, short = llm_turn(history=[question, answer]), llm_turn()

    assert key(long, prompt_bytes=2000) == key(short, prompt_bytes=2000)
    assert key(long) != key(short)


class Cached:
    """A cache over entries in memory."""

    def __init__(self, **settings: Any) -> None:
        self.entries = FakeEntries()
        self.log = io.StringIO()
        telemetry = open_telemetry("executor", "debug", self.log)
        self.cache = ResponseCache(
            direct(self.entries),
            Config(**settings),
            CacheMetrics(telemetry.metrics),
            telemetry.log,
        )
        self._registry = telemetry.metrics.registry

    def count(self, what: str, outcome: str) -> float:
        labels = {"agent": "clerk", "tenant": "", "outcome": outcome}
        name = f"pentad_response_cache_{what}_total"
        return self._registry.get_sample_value(name, labels) or 0.0

    def place(self, turn: ExecuteTurnRequest) -> Place:
        place = self.cache.place(turn)
        assert place is not None
        return place


def answer(**fields: Any) -> TurnResult:
    message = Message(role=Message.ROLE_ASSISTANT, text="Two.", **fields)
    usage = Usage(input_tokens=10, output_tokens=5, cost_nano_usd=700)
    return TurnResult(message=message, usage=usage, model="gpt-5-2026")


def calling(tool: str, content_type: str = "application/json") -> TurnResult:
    payload = Payload(content_type=content_type, text="{}")
    return answer(tool_calls=[ToolCall(tool=tool, arguments=payload, model_call_id="call_a")])


def turn_with(effect: "Effect.ValueType" = Effect.EFFECT_PURE) -> ExecuteTurnRequest:
    turn = Told().turn()
    turn.tools[0].effect = effect
    return turn


def without_a_cache() -> ExecuteTurnRequest:
    turn = Told().turn()
    turn.agent.ClearField("response_cache")
    return turn


def unsendable_schema() -> ExecuteTurnRequest:
    turn = Told().turn()
    turn.tools[0].input_schema.fields["no"].number_value = float("nan")
    return turn


@pytest.mark.parametrize(
    "turn",
    [
        without_a_cache,
        Told(model="rules:clerk").turn,
        Told(step="x" * 5000).turn,
        unsendable_schema,
    ],
)
def test_some_turns_have_no_place(turn: Callable[[], ExecuteTurnRequest]) -> None:
    assert Cached(max_prompt_bytes=4096).cache.place(turn()) is None


def test_tenants_have_places_apart_from_each_other() -> None:
    cached = Cached()
    one, other = (cached.place(Told().turn(tenant=t)) for t in ("acme", "acme/2"))

    assert one.key == other.key
    assert one.scope != other.scope
    assert one.scope.endswith("/acme")
    assert len(one.scope.split("/")[1]) == 2, "of one length, so that no tenant begins within it"


async def test_what_was_kept_is_found_and_costs_nothing() -> None:
    cached = Cached()
    turn = turn_with()
    place = cached.place(turn)

    assert await cached.cache.find(place) is None
    await cached.cache.keep(place, turn, calling("look"))
    found = await cached.cache.find(place)

    assert found == TurnResult(
        message=calling("look").message,
        usage=Usage(cost_nano_usd=0),
        model="gpt-5-2026",
        from_cache=True,
    )
    assert cached.entries.puts[0].ttl.seconds == 60
    assert not cached.entries.puts[0].HasField("expected_version")
    assert [cached.count("lookups", each) for each in ("hit", "miss", "error")] == [1, 1, 0]
    assert cached.count("stores", "stored") == 1


@pytest.mark.parametrize(
    ("effect", "result"),
    [
        pytest.param(Effect.EFFECT_ONCE, calling("look"), id="a call that must not be repeated"),
        pytest.param(Effect.EFFECT_UNSPECIFIED, calling("look"), id="a call of unknown effect"),
        pytest.param(Effect.EFFECT_PURE, calling("hoax"), id="a call of no tool"),
        pytest.param(Effect.EFFECT_PURE, calling("look", "text/plain"), id="broken arguments"),
        pytest.param(
            Effect.EFFECT_PURE,
            TurnResult(message=answer().message, usage=Usage(output_tokens=100)),
            id="as long as its limit",
        ),
        pytest.param(
            Effect.EFFECT_PURE,
            TurnResult(message=Message(text="x" * VALUE_BYTES_MAX)),
            id="too large",
        ),
    ],
)
async def test_some_answers_are_not_kept(effect: "Effect.ValueType", result: TurnResult) -> None:
    cached = Cached()
    turn = turn_with(effect)

    await cached.cache.keep(cached.place(turn), turn, result)

    assert cached.entries.values == {}
    assert cached.count("stores", "unfit") == 1


@pytest.mark.parametrize("effect", [Effect.EFFECT_PURE, Effect.EFFECT_IDEMPOTENT])
async def test_calls_that_may_be_repeated_are_kept(effect: "Effect.ValueType") -> None:
    cached = Cached()
    turn = turn_with(effect)

    await cached.cache.keep(cached.place(turn), turn, calling("look"))

    assert cached.count("stores", "stored") == 1


async def test_a_cache_that_is_away_is_a_miss_and_is_said_once_until_it_is_back() -> None:
    cached = Cached()
    turn = turn_with()
    place = cached.place(turn)
    cached.entries.away = True

    for _ in range(2):
        assert await cached.cache.find(place) is None
        await cached.cache.keep(place, turn, answer())
    cached.entries.away = False
    assert await cached.cache.find(place) is None

    assert cached.count("lookups", "error") == 2
    assert cached.count("stores", "error") == 2
    assert cached.log.getvalue().count("response cache away") == 1
    assert cached.log.getvalue().count("response cache is back") == 1
    assert "STORE_UNAVAILABLE" in cached.log.getvalue()


async def test_what_is_no_answer_is_a_miss() -> None:
    cached = Cached()
    place = cached.place(turn_with())
    cached.entries.values[place.scope, place.key] = b"\xff\xff\xff"

    assert await cached.cache.find(place) is None
    assert cached.count("lookups", "error") == 1
