"""Scripts get what they share with others, and nothing that they do not need."""

import re
from importlib.resources import files

import pytest

from pentad_state.store import script

SCRIPTS = files("pentad_state") / "scripts"
SHARED = {"prelude", "accounts", "append", "decisions", "slots"}
NAMES = sorted(
    path.name.removesuffix(".lua") for path in SCRIPTS.iterdir() if path.name.endswith(".lua")
)
DEFINED = re.compile(r"^ *local function (\w+)", re.MULTILINE)
CALLED = re.compile(r"(?<![\w.:])([a-z]\w*)\(")
KNOWN = {"ipairs", "pairs", "tonumber", "tostring", "type", "unpack", "next", "error", "function"}
WORDS = {"and", "or", "not", "if", "elseif", "return", "in", "while", "until"}


def test_what_is_shared_is_known() -> None:
    assert set(NAMES) >= SHARED


@pytest.mark.parametrize("name", sorted(set(NAMES) - SHARED))
def test_a_script_defines_each_function_that_it_calls_once(name: str) -> None:
    source = re.sub(r"--.*|'[^']*'", "", script(name).source.decode())
    defined = DEFINED.findall(source)
    local = set(re.findall(r"function\(([^)]*)\)|function \w+\(([^)]*)\)", source))
    parameters = {word for pair in local for text in pair for word in text.split(", ")}

    assert len(defined) == len(set(defined))
    assert set(CALLED.findall(source)) - KNOWN - WORDS - set(defined) - parameters == set()


def test_an_append_that_only_adds_events_brings_little_with_it() -> None:
    assert set(DEFINED.findall(script("run_append").source.decode())) == {
        "now",
        "stamp",
        "announce_growth",
        "obstacle",
        "record",
    }
