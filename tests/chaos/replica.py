"""One process of the suite: started again whenever it ends, killed and stopped at will."""

import asyncio
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_POLL_S = 0.02
_TIED = Path(__file__).with_name("tied.py")


class Replica:
    """A process that is there, but for moments."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> None:
        self.name = name
        self.log = log
        self.starts = 0
        self.deaths: list[str] = []
        """Ends that nobody brought about."""
        self.woke_at_s = 0.0
        """When it last went on after a stop, by the monotonic clock; infinite while stopped."""
        self._command = [sys.executable, "-ISE", str(_TIED), str(os.getpid()), *command]
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._killed = False
        self._down_until = 0.0

    @property
    def is_alive(self) -> bool:
        """Whether there is a process now, running or stopped."""
        return self._process is not None and self._process.poll() is None

    async def serve(self) -> None:
        """Keep the process there until cancelled; then it is gone."""
        try:
            while True:
                await self._one_life()
        finally:
            if self._process is not None:
                self._process.kill()
                self._process.wait()

    def kill(self, down_s: float) -> bool:
        """Kill it as `kill -9` does, and leave it so for a while; False if it was dead."""
        if not self.is_alive:
            return False
        self._killed = True
        self._down_until = time.monotonic() + down_s
        self._signal(signal.SIGKILL)
        return True

    def stop(self) -> bool:
        """Let it do nothing any more, unnoticed by itself; False if it was dead."""
        if not self.is_alive:
            return False
        self.woke_at_s = math.inf
        self._signal(signal.SIGSTOP)
        return True

    def go_on(self) -> None:
        """Let it go on where it was stopped."""
        if self.woke_at_s == math.inf and self.is_alive:
            self._signal(signal.SIGCONT)
            self.woke_at_s = time.monotonic()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "there is a process"
        self._process.send_signal(number)  # Popen never signals a process it has collected

    async def _one_life(self) -> None:
        self._killed = False
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - returns once it has forked
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.starts += 1
        self.woke_at_s = 0.0
        while self._process.poll() is None:  # noqa: ASYNC110 - only a poll collects it safely
            await asyncio.sleep(_POLL_S)
        if not self._killed:
            self.deaths.append(f"{self.name} ended by itself with {self._process.returncode}")
            self._down_until = time.monotonic() + 1.0
        await asyncio.sleep(max(0.0, self._down_until - time.monotonic()))
