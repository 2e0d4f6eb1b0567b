"""Stacks as the interpreter writes them, and the layer each is put down to."""

from pathlib import Path

import pytest

from bench.layers.profile import Profile
from bench.layers.stacks import Frame, Layer, Stack, layer_of, read_stacks

PACKAGES = "/venv/lib/python3.11/site-packages"
STDLIB = "/usr/lib/python3.11"
LOOP = (
    f"{PACKAGES}/uvloop/__init__.py",
    f"{STDLIB}/asyncio/runners.py",
    "/repo/chassis/pentad_chassis/runner.py",
    "/repo/services/state/pentad_state/__main__.py",
)
NOTED = """\
/repo/chassis/pentad_chassis/hop.py:7:call|/usr/lib/python3.11/asyncio/runners.py:118:run
/repo/chassis/pentad_chassis/link/call.py:9:<lambda>
"""


def stack(*paths: str) -> Stack:
    """Return a stack of the event loop's thread, innermost first."""
    return [Frame(path, 1, "work") for path in (*paths, *LOOP)]


def test_stacks_are_read_as_they_were_noted() -> None:
    first, second = read_stacks(NOTED)

    assert first == [
        Frame("/repo/chassis/pentad_chassis/hop.py", 7, "call"),
        Frame("/usr/lib/python3.11/asyncio/runners.py", 118, "run"),
    ]
    assert second == [Frame("/repo/chassis/pentad_chassis/link/call.py", 9, "<lambda>")]


@pytest.mark.parametrize(
    ("innermost", "layer"),
    [
        ("/repo/chassis/pentad_chassis/link/outbox.py", Layer.LINK),
        ("/repo/chassis/pentad_chassis/tracer.py", Layer.TRACING),
        (f"{PACKAGES}/opentelemetry/sdk/trace/__init__.py", Layer.TRACING),
        ("/repo/services/state/pentad_state/servicer/traces.py", Layer.TRACING),
        ("/repo/services/executor/pentad_executor/metrics.py", Layer.METERS),
        (f"{PACKAGES}/structlog/_native.py", Layer.METERS),
        ("/repo/services/state/pentad_state/pipe.py", Layer.STORE),
        (f"{PACKAGES}/redis/asyncio/connection.py", Layer.STORE),
        ("/repo/chassis/pentad_chassis/hop.py", Layer.CHASSIS),
        (f"{PACKAGES}/pybreaker/__init__.py", Layer.CHASSIS),
        (f"{PACKAGES}/grpc/aio/_call.py", Layer.GRPC),
        ("/repo/services/state/pentad_state/runs.py", Layer.OWN),
    ],
)
def test_a_layer_is_told_by_the_file(innermost: str, layer: Layer) -> None:
    assert layer_of(stack(innermost)) is layer


def test_the_standard_library_works_for_whoever_called_it() -> None:
    called = stack(f"{STDLIB}/asyncio/tasks.py", "/repo/chassis/pentad_chassis/link/desk.py")

    assert layer_of(called) is Layer.LINK


def test_what_nobody_called_is_the_event_loops_though_services_run_it() -> None:
    assert layer_of(stack()) is Layer.LOOP
    assert layer_of(stack(f"{STDLIB}/asyncio/events.py")) is Layer.LOOP


def test_a_line_that_calls_compiled_code_is_told_by_what_it_calls(tmp_path: Path) -> None:
    source = tmp_path / "pentad_chassis" / "link" / "desk.py"
    source.parent.mkdir(parents=True)
    source.write_text("async for batch in batches:\nrun(x)\nkept = run.SerializeToString()\n")
    layers = [layer_of([Frame(str(source), line, "f"), *stack()]) for line in (1, 2, 3)]

    assert layers == [Layer.GRPC, Layer.LINK, Layer.SERIALISATION]


def test_shares_are_of_all_threads_and_sum_to_one() -> None:
    profile = Profile(main_s=3.0, others_s=1.0)
    profile.add(NOTED)

    assert profile.shares() == {
        Layer.CHASSIS: pytest.approx(0.375),
        Layer.LINK: pytest.approx(0.375),
        Layer.THREADS: pytest.approx(0.25),
    }
    assert [share for _, share in profile.hottest(1)] == [0.5]


def test_a_process_that_did_nothing_has_no_shares() -> None:
    assert Profile().shares() == {}
