"""What processes use, each with those below it."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bench.usage import below, cpu_s, memory, threads_cpu_s

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc, as Linux has it")

WAIT = "import sys; print('up', flush=True); sys.stdin.read()"


@pytest.fixture
def child() -> Iterator[int]:
    """A process below this one that waits."""
    with subprocess.Popen(
        [sys.executable, "-c", WAIT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as waiting:
        assert waiting.stdout
        waiting.stdout.readline()
        yield waiting.pid


def test_a_process_counts_for_who_started_it_unless_it_is_listed_itself(child: int) -> None:
    own = os.getpid()

    together, apart = memory({"own": own}), memory({"own": own, "child": child})

    assert child in below(own)
    assert apart["child"].rss_mb > 1
    assert together["own"].rss_mb > apart["own"].rss_mb
    assert apart["child"].pss_mb <= apart["child"].rss_mb


def test_processor_time_is_that_of_the_tree_and_of_each_thread(child: int) -> None:
    used = cpu_s({"own": os.getpid(), "child": child})

    assert used["own"] > 0
    assert os.getpid() in threads_cpu_s(os.getpid())


def test_a_process_that_has_ended_uses_nothing_more(child: int) -> None:
    os.kill(child, 9)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # its parent is this process's fixture

    assert memory({"child": child})["child"].pss_mb == 0
