import fcntl
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pentad_tools.builtin import notebook as module
from pentad_tools.builtin.notebook import Appended, notebook_append, notebook_read, was_appended
from pentad_tools.parameters import ArgumentsInvalid
from pentad_tools.tool import NOT_DONE, Done, Effect, ToolContext, ToolFailed


def path(context: ToolContext, name: str = "n") -> Path:
    return context.notebook_dir / context.tenant / f"{name}.txt"


def test_a_line_carries_its_call(context: ToolContext) -> None:
    assert notebook_append("n", "hello wörld", context) == Appended(
        notebook="n", line="hello wörld"
    )

    assert path(context).read_text() == "hello wörld [07abc/1.2.0]\n"
    assert notebook_read("n", context).lines == ["hello wörld [07abc/1.2.0]"]
    assert notebook_append.effect is Effect.ONCE


def test_a_duplicate_can_be_seen(context: ToolContext) -> None:
    notebook_append("n", "a", context)
    notebook_append("n", "a", context)

    assert notebook_read("n", context).line_count == 2


def test_files_are_their_owners_only(context: ToolContext) -> None:
    notebook_append("n", "a", context)

    assert path(context).stat().st_mode & 0o777 == 0o600
    assert path(context).parent.stat().st_mode & 0o777 == 0o700


def test_the_check_finds_the_line_of_its_call(context: ToolContext) -> None:
    other = replace(context, idempotency_key="07abc/1.3.0")
    assert was_appended("n", "a", context) is NOT_DONE
    notebook_append("n", "a", other)
    assert was_appended("n", "a", context) is NOT_DONE

    notebook_append("n", "a", context)

    assert was_appended("n", "a", context) == Done(Appended(notebook="n", line="a"))
    assert notebook_append.checker is was_appended


def test_no_line_can_pretend_to_be_another_calls(context: ToolContext) -> None:
    other = replace(context, idempotency_key="07abc/1.3.0")

    notebook_append("n", "a [07abc/1.2.0]", other)

    assert was_appended("n", "a", context) is NOT_DONE


@pytest.mark.parametrize("torn", ["torn", "whole [x/1]\ntorn [07abc/1.2.0]"])
def test_a_torn_line_is_no_line_and_makes_room_for_the_next(
    context: ToolContext, torn: str
) -> None:
    path(context).parent.mkdir(parents=True)
    path(context).write_text(torn)
    whole = torn.split("\n")[:-1]

    assert was_appended("n", "torn", context) is NOT_DONE
    assert notebook_read("n", context).lines == whole
    notebook_append("n", "torn", context)

    assert notebook_read("n", context).lines == [*whole, "torn [07abc/1.2.0]"]


def test_tenants_never_meet(context: ToolContext) -> None:
    notebook_append("n", "mine", context)
    other = replace(context, tenant="globex")

    with pytest.raises(ToolFailed, match="no such notebook"):
        notebook_read("n", other)
    assert was_appended("n", "mine", other) is NOT_DONE


@pytest.mark.parametrize("tenant", ["", "..", ".", "a/b", "a\0", "/", "-x", "x" * 64, "é"])
def test_a_tenant_that_names_no_folder_has_no_notebooks(context: ToolContext, tenant: str) -> None:
    bad = replace(context, tenant=tenant)

    for act in (lambda: notebook_append("n", "a", bad), lambda: notebook_read("n", bad)):
        with pytest.raises(ToolFailed, match="cannot name a folder"):
            act()


@pytest.mark.parametrize("name", ["", "..", "../n", "a/b", "A", ".n", "n\\n", "n\\u0000", "a" * 64])
def test_names_are_plain(name: str) -> None:
    with pytest.raises(ArgumentsInvalid, match="notebook"):
        notebook_append.parameters.parse(f'{{"notebook": "{name}", "line": "a"}}')


@pytest.mark.parametrize(
    "line",
    ["", "a\\nb", "a\\rb", "a\\n", "\\u0000", "\\u2028", "\\u0085", "\\u001b[2J", "x" * 2001],
)
def test_a_line_is_one_line(line: str) -> None:
    with pytest.raises(ArgumentsInvalid, match="line"):
        notebook_append.parameters.parse(f'{{"notebook": "n", "line": "{line}"}}')


def test_a_notebook_has_a_size(context: ToolContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILE_BYTES_MAX", 40)
    notebook_append("n", "a", context)

    with pytest.raises(ToolFailed, match="full"):
        notebook_append("n", "x" * 30, context)
    assert notebook_read("n", context).line_count == 1


def test_a_long_notebook_shows_its_end(
    context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BYTES_SHOWN_MAX", 40)
    for line in "abc":
        notebook_append("n", line, context)

    read = notebook_read("n", context)

    assert read.lines == ["b [07abc/1.2.0]", "c [07abc/1.2.0]"]
    assert read.line_count == 3


def test_a_link_is_not_followed(context: ToolContext, tmp_path: Path) -> None:
    path(context).parent.mkdir(parents=True)
    path(context).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match="symbolic"):
        notebook_append("n", "a", context)
    assert not (tmp_path / "elsewhere").exists()


def test_a_lock_is_not_waited_for_without_end(
    context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOCK_S", 0.0)
    notebook_append("n", "a", context)
    holder = os.open(path(context), os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    try:
        with pytest.raises(ToolFailed, match="locked"):
            notebook_append("n", "b", context)
    finally:
        os.close(holder)
    assert notebook_read("n", context).line_count == 1


WRITER = """
import sys
from pathlib import Path
from pentad_chassis.clock import SystemClock
from pentad_tools.builtin.notebook import notebook_append
from pentad_tools.tool import ToolContext

def write(folder, worker):
    for number in range(25):
        notebook_append("n", "x" * (number * 40 + 1), ToolContext(
            tenant="acme", idempotency_key=f"run/{worker}.{number}", data_dir=Path(),
            notebook_dir=Path(folder), http_allow=(), clock=SystemClock()))

if __name__ == "__main__":
    write(sys.argv[1], 9)
"""


def test_writers_of_many_processes_and_threads_lose_no_line(context: ToolContext) -> None:
    names: dict[str, Any] = {"__name__": "writer"}
    exec(WRITER, names)  # noqa: S102 - the same code here and in another process
    with (
        subprocess.Popen([sys.executable, "-c", WRITER, str(context.notebook_dir)]) as process,
        ThreadPoolExecutor(4) as threads,
    ):
        list(threads.map(lambda worker: names["write"](context.notebook_dir, worker), range(4)))

    lines = path(context).read_text().splitlines()
    assert process.returncode == 0
    assert len(lines) == 125
    assert len({line.rpartition(" ")[2] for line in lines}) == 125
