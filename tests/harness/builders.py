"""Agents that do one thing each, for tests that need exactly that."""

from typing import Any
from zlib import crc32

from google.protobuf.json_format import ParseDict

from pentad.state.v1.agent_pb2 import Agent
from pentad.state.v1.run_pb2 import RunSpec


def agent(name: str, *rules: dict[str, Any], **fields: Any) -> Agent:
    """Return a rule-driven agent that may use the tools its rules name."""
    tools = sorted({rule["call"]["tool"] for rule in rules if "call" in rule})
    given = {"name": name, "model": f"rules:{name}", "tools": tools, "rules": list(rules)}
    return ParseDict({**given, **fields}, Agent())


def call(name: str, tool: str, *after: str, **arguments: Any) -> dict[str, Any]:
    """Return a rule that calls a tool."""
    return {"name": name, "after": list(after), "call": {"tool": tool, "arguments": arguments}}


def answer(text: str, *after: str, **fields: Any) -> dict[str, Any]:
    """Return a rule that ends the step."""
    return {"name": f"say{crc32(text.encode())}", "after": list(after), "answer": text, **fields}


def echo(name: str = "echo") -> Agent:
    """Return an agent that repeats its input."""
    return agent(name, answer("You said: {input}"))


def writer(name: str, lines: int) -> Agent:
    """Return an agent that writes so many numbered lines into the notebook of its name."""
    rules = [call("line0", "notebook_append", notebook=name, line="line 0")]
    rules += [
        call(f"line{n}", "notebook_append", f"line{n - 1}", notebook=name, line=f"line {n}")
        for n in range(1, lines)
    ]
    return agent(name, *rules, answer("written", f"line{lines - 1}"))


def diary(*gates: str) -> Agent:
    """Return an agent that writes a line, waits until a file exists, writes the next, and so on."""
    rules = [call("line0", "notebook_append", notebook="diary", line="line 0")]
    for n, path in enumerate(gates, 1):
        rules += [
            call(f"gate{n}", "gate", f"line{n - 1}", path=path),
            call(f"line{n}", "notebook_append", f"gate{n}", notebook="diary", line=f"line {n}"),
        ]
    return agent("diary", *rules, answer("written", f"line{len(gates)}"))


def gated(name: str, path: str) -> Agent:
    """Return an agent that waits until a file exists; see `plugin/`."""
    return agent(name, call("wait", "gate", path=path), answer("it is {wait}", "wait"))


def ask(name: str, text: str = "hello", **fields: Any) -> RunSpec:
    """Return a run of one agent."""
    return RunSpec(agent=name, input=text, **fields)
