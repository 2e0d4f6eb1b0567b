"""docs/observability.md says what the code does, no more and no less."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pentad_chassis import semconv
from pentad_chassis.config import Settings

ROOT = Path(__file__).parents[3]
DOCS = (ROOT / "docs" / "observability.md").read_text("utf-8")
KINDS = {
    "counter": "counter",
    "counts": "counter",
    "gauge": "gauge",
    "histogram": "histogram",
    "timings": "histogram",
}
ROW = re.compile(r"^\| `(\w+)` \| (counter|gauge|histogram) \| ([^|]*)\|", re.MULTILINE)


def registered() -> Iterator[tuple[str, str]]:
    """Yield name and type of each metric that any service adds."""
    for path in sorted([*ROOT.glob("chassis/**/*.py"), *ROOT.glob("services/**/*.py")]):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr=method), args=[ast.Constant(value=str(name)), *_]
                ) if method in KINDS:
                    suffix = "_total" if KINDS[method] == "counter" else ""
                    yield f"{name}{suffix}", KINDS[method]


def test_every_metric_is_documented_with_its_type_and_none_besides() -> None:
    documented = {name: kind for name, kind, _ in ROW.findall(DOCS)}

    assert dict(registered()) == documented


def test_metrics_in_expressions_exist() -> None:
    known = {name for name, _ in registered()}
    known |= {f"{name}{part}" for name in known for part in ("_bucket", "_count", "_sum")}
    used = set(re.findall(r"\b(?:pentad|rpc|agent|active|gen_ai)_\w+_(?:\w+)\b", DOCS))
    labels = {each for _, _, row in ROW.findall(DOCS) for each in re.findall(r"`(\w+)`", row)}

    assert used - known - labels - {"gen_ai_token_type"} == set()


@pytest.mark.parametrize(
    "name",
    sorted(
        value for key, value in vars(semconv).items() if key.isupper() and isinstance(value, str)
    ),
)
def test_every_name_of_an_attribute_is_documented(name: str) -> None:
    assert f"`{name}`" in DOCS or f"`{name} " in DOCS


@pytest.mark.parametrize(
    "field", ["metrics_address", "metrics_tenants", "log_level", "log_content", "tracer"]
)
def test_settings_and_their_defaults_are_documented(field: str) -> None:
    default = Settings.model_fields[field].default
    (row,) = re.findall(rf"^\| `{field.upper()}` \| ([^|]*) \|", DOCS, re.MULTILINE)

    assert row == (str(default).lower() or "nowhere")
