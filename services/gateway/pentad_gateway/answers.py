"""Answers to questions: whether one is what the schema of its question allows."""

import json
from collections.abc import Iterable
from typing import Any

import jsonschema_rs
from google.protobuf.json_format import MessageToDict

from pentad.state.v1.approval_pb2 import Approval
from pentad.state.v1.message_pb2 import Payload
from pentad_chassis.errors import FieldViolation
from pentad_gateway.errors import AnswerInvalid

_PROBLEMS = 20
_DESCRIPTION_CHARACTERS = 200


def check_answer(approval: Approval, answer: Payload) -> None:
    """Raise AnswerInvalid, with every place at fault, unless the answer fits its question."""
    if not answer.WhichOneof("body") or not approval.HasField("answer_schema"):
        return
    try:
        said = json.loads(answer.text, parse_constant=_refused)
    except (ValueError, RecursionError):
        raise AnswerInvalid([FieldViolation("answer", "must be a JSON document")]) from None
    violations = list(_violations(MessageToDict(approval.answer_schema), said))
    if violations:
        raise AnswerInvalid(violations)


def _violations(schema: dict[str, Any], said: object) -> Iterable[FieldViolation]:
    try:
        # What a model wrote must neither reach into the network nor take long to match.
        patterns = jsonschema_rs.RegexOptions()
        validator = jsonschema_rs.validator_for(schema, offline=True, pattern_options=patterns)
        problems = validator.iter_errors(said)
        for _, problem in zip(range(_PROBLEMS), problems, strict=False):
            yield FieldViolation(
                _field(problem.instance_path), problem.message[:_DESCRIPTION_CHARACTERS]
            )
    except jsonschema_rs.ValidationError as invalid:
        reason = invalid.message[:_DESCRIPTION_CHARACTERS]
        yield FieldViolation(
            "answer", f"cannot be checked: its question's schema is no good: {reason}"
        )
    except ValueError:
        yield FieldViolation("answer", "is nested too deeply")


def _field(path: Iterable[str | int]) -> str:
    field = "answer"
    for part in path:
        field += f"[{part}]" if isinstance(part, int) else f".{part}"
    return field


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
