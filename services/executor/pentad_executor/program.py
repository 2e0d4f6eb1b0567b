"""Reading an agent's rules: everything that can be wrong with them is found before one fires."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import re2
from google.protobuf.json_format import MessageToDict

from pentad.state.v1.agent_pb2 import Agent, Rule
from pentad_chassis import native
from pentad_executor.errors import RulesInvalid
from pentad_executor.template import Json, Path, TemplateError, in_order, paths

RULES_MAX = 100
PATTERN_MAX = 512
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_RESERVED = {"input", "steps"}
_PATTERN_BYTES_MAX = 64 * 1024
"""Memory of a compiled pattern. RE2 is linear in the input, but a program of 8 MiB, its default,
takes seconds for 256 KiB of it; a pattern of 512 characters without huge repetitions fits."""


@dataclass(frozen=True, slots=True)
class Line:
    """One rule that can be followed."""

    name: str
    pattern: Any
    """Compiled by RE2; None holds for every input."""
    after: frozenset[str]
    after_failure: str
    tool: str
    """Empty for a rule that answers."""
    arguments: dict[str, Json]
    answer: str


def read(agent: Agent) -> list[Line]:
    """Return the agent's program, or raise RulesInvalid that says which rule is wrong and why."""
    rules = agent.rules
    if not rules:
        raise RulesInvalid(f"agent {agent.name!r} has no rules for its model {agent.model!r}")
    if len(rules) > RULES_MAX:
        raise RulesInvalid(f"{len(rules)} rules are more than {RULES_MAX}")
    calls = {rule.name for rule in rules if rule.WhichOneof("action") == "call"}
    seen: set[str] = set()
    for rule in rules:
        _check_name(rule.name, seen)
        seen.add(rule.name)
        _check_waits(rule, calls)
    tools = (*agent.tools, *map(native.tool_of, agent.agents))
    return [_line(rule, tools, calls - {rule.name}) for rule in rules]


def _check_name(name: str, seen: set[str]) -> None:
    if not _NAME.fullmatch(name):
        raise RulesInvalid("a name matches [a-z][a-z0-9_]{0,31}", name)
    if name in _RESERVED:
        raise RulesInvalid("this name is taken by a placeholder", name)
    if name in seen:
        raise RulesInvalid("two rules have this name", name)


def _check_waits(rule: Rule, calls: set[str]) -> None:
    waits = [("after", name) for name in rule.after]
    if rule.after_failure:
        waits.append(("after_failure", rule.after_failure))
    for field, name in waits:
        if name == rule.name:
            raise RulesInvalid(f"`{field}` names the rule itself", rule.name)
        if name not in calls:
            raise RulesInvalid(f"`{field}` names {name!r}, which is no rule with a call", rule.name)


def _line(rule: Rule, tools: Sequence[str], calls: set[str]) -> Line:
    pattern = _compile(rule)
    arguments: dict[str, Json] = {}
    if rule.WhichOneof("action") == "call":
        if rule.call.tool not in tools:
            raise RulesInvalid(f"{rule.call.tool!r} is not among the agent's tools", rule.name)
        arguments = _arguments(rule)
    elif rule.WhichOneof("action") == "answer" and not rule.answer.strip():
        raise RulesInvalid("its answer is empty", rule.name)
    elif rule.WhichOneof("action") is None:
        raise RulesInvalid("it has neither a `call` nor an `answer`", rule.name)
    groups = set(pattern.groupindex) if pattern else set()
    try:
        for path in [*paths(arguments), *paths(rule.answer)]:
            _check_placeholder(path, groups, calls)
    except TemplateError as error:
        raise RulesInvalid(str(error), rule.name) from None
    return Line(
        name=rule.name,
        pattern=pattern,
        after=frozenset(rule.after),
        after_failure=rule.after_failure,
        tool=rule.call.tool,
        arguments=arguments,
        answer=rule.answer,
    )


def _arguments(rule: Rule) -> dict[str, Json]:
    try:
        # In order, so that the same rule gives the same bytes in every process: the effect
        # ledger refuses a call that is repeated with others.
        arguments = in_order(MessageToDict(rule.call.arguments))
    except ValueError:
        raise RulesInvalid("its arguments hold something that is no JSON", rule.name) from None
    return arguments


def _compile(rule: Rule) -> Any:
    if not rule.input_pattern:
        return None
    if len(rule.input_pattern) > PATTERN_MAX:
        raise RulesInvalid(f"its pattern is longer than {PATTERN_MAX} characters", rule.name)
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _PATTERN_BYTES_MAX
    try:
        return re2.compile(rule.input_pattern, options)
    except re2.error as error:
        raise RulesInvalid(f"its pattern is no RE2 expression: {_said(error)}", rule.name) from None


def _said(error: Exception) -> str:
    reason = error.args[0] if error.args else "unknown"
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)


def _check_placeholder(path: Path, groups: set[str], calls: set[str]) -> None:
    written = "{" + ".".join(path) + "}"
    match path:
        case ("input",) | ("steps", _):
            return
        case ("input", group):
            if group not in groups:
                raise TemplateError(f"{written} names no group of the rule's own pattern")
        case ("input" | "steps", *_):
            raise TemplateError(f"{written} has the wrong form")
        case (name, *_):
            if name not in calls:
                raise TemplateError(f"{written} names no other rule with a call")
