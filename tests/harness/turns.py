"""Builders of what an executor is asked, and the loop that an orchestrator would drive."""

from collections.abc import Callable, Sequence
from typing import Any

from pentad.executor.v1.executor_service_pb2 import ExecuteTurnRequest, StepOutput
from pentad.state.v1.agent_pb2 import Agent, Rule, RuleCall
from pentad.state.v1.message_pb2 import Message, Payload, ToolCall
from pentad.state.v1.tool_pb2 import Tool


def call_rule(name: str, tool: str = "look", /, arguments: Any = None, **fields: Any) -> Rule:
    """A rule that asks for a tool call."""
    call = RuleCall(tool=tool)
    call.arguments.update(arguments or {})
    return Rule(name=name, call=call, **fields)


def answer_rule(name: str, answer: str, /, **fields: Any) -> Rule:
    """A rule that ends the step."""
    return Rule(name=name, answer=answer, **fields)


def rules_turn(
    rules: Sequence[Rule],
    input: str = "go",  # noqa: A002 - the proto's name
    *,
    messages: Sequence[Message] = (),
    steps: dict[str, str] | None = None,
    tools: Sequence[str] = ("look",),
) -> ExecuteTurnRequest:
    """A turn of an agent that is made of rules."""
    return ExecuteTurnRequest(
        agent=Agent(name="clerk", model="rules:clerk", rules=rules, tools=tools),
        run_input=input,
        input=input,
        messages=messages,
        earlier_steps=[StepOutput(step=k, output=v) for k, v in (steps or {}).items()],
    )


def llm_turn(
    model: str = "openai:gpt-4o-mini", text: str = "Hi", **fields: Any
) -> ExecuteTurnRequest:
    """A turn of an agent that is a language model with one tool, `look`."""
    tool = Tool(name="look", description="Looks something up.")
    tool.input_schema.update(
        {"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]}
    )
    given: dict[str, Any] = {"run_input": text, "input": text, "tools": [tool], **fields}
    agent = Agent(name="clerk", model=model, instructions="You are a clerk.", tools=["look"])
    return ExecuteTurnRequest(agent=agent, run_id="run", turn=1, **given)


def asked(name: str, tool: str = "look", arguments: str = "{}") -> Message:
    """The assistant's message that asks for one call."""
    payload = Payload(content_type="application/json", text=arguments)
    call = ToolCall(tool=tool, arguments=payload, model_call_id=name)
    return Message(role=Message.ROLE_ASSISTANT, tool_calls=[call])


def told(name: str, text: str, tool: str = "look", *, failed: bool = False) -> Message:
    """The tool's message that answers it."""
    return Message(role=Message.ROLE_TOOL, text=text, tool=tool, failed=failed, model_call_id=name)


def run_step(
    decide: Callable[[ExecuteTurnRequest], Message],
    turn: ExecuteTurnRequest,
    tool: Callable[[ToolCall], tuple[str, bool]],
    max_turns: int,
) -> tuple[list[Message], Message | None]:
    """Take turns until the step has its answer; None when it has none after `max_turns`.

    `tool` returns a call's result, and whether it is a failure.
    """
    said: list[Message] = []
    for _ in range(max_turns):
        now = ExecuteTurnRequest()
        now.CopyFrom(turn)
        now.messages.extend(said)
        message = decide(now)
        if not message.tool_calls:
            return said, message
        said.append(message)
        for call in message.tool_calls:
            text, failed = tool(call)
            said.append(told(call.model_call_id, text, call.tool, failed=failed))
    return said, None
