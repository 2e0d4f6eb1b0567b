"""What a turn says about each process: its processor time, and where it went."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.layers.stacks import Frame, Layer, layer_of, read_stacks
from bench.usage import threads_cpu_s

_WRITTEN_S = 20.0
_POLL_S = 0.01

INSIDE = Path(__file__).parent / "inside"
"""What a sampled process has on its PYTHONPATH."""


@dataclass(slots=True)
class Profile:
    """Where one process spent its time, over all turns."""

    main_s: float = 0.0
    """Processor time of the thread that runs the event loop."""
    others_s: float = 0.0
    """That of all other threads; gRPC's do nearly all of it."""
    layers: Counter[Layer] = field(default_factory=Counter)
    """Stacks of the main thread."""
    frames: Counter[Frame] = field(default_factory=Counter)
    """The innermost frames of them."""

    def shares(self) -> dict[Layer, float]:
        """Return the share of the process' time that each layer has."""
        total_s, stacks = self.main_s + self.others_s, self.layers.total()
        if not total_s or not stacks:
            return {}
        main = self.main_s / total_s
        shares = {layer: main * count / stacks for layer, count in self.layers.items()}
        return {**shares, Layer.THREADS: self.others_s / total_s}

    def hottest(self, count: int) -> Sequence[tuple[Frame, float]]:
        """Return the innermost frames seen most, with their shares of the main thread's time."""
        stacks = self.layers.total()
        return [(frame, seen / stacks) for frame, seen in self.frames.most_common(count)]

    def add(self, text: str) -> None:
        """Take stacks into account."""
        for stack in read_stacks(text):
            self.layers[layer_of(stack)] += 1
            self.frames[stack[0]] += 1


@contextmanager
def sampling(
    processes: Mapping[str, int], stacks: Path, profiles: Mapping[str, Profile]
) -> Iterator[None]:
    """Sample processes while the block runs, and add what is seen to their profiles."""
    before = {role: threads_cpu_s(pid) for role, pid in processes.items()}
    _signal(processes, signal.SIGUSR1)
    yield
    after = {role: threads_cpu_s(pid) for role, pid in processes.items()}
    _signal(processes, signal.SIGUSR2)
    for role, pid in processes.items():
        profile = profiles[role]
        for thread, now_s in after[role].items():
            used_s = now_s - before[role].get(thread, 0.0)
            if thread == pid:
                profile.main_s += used_s
            else:
                profile.others_s += used_s
        profile.add(_noted(stacks / str(pid)))


def _noted(file: Path) -> str:
    """Return what a process noted, once it has written it down."""
    give_up = time.monotonic() + _WRITTEN_S
    while not file.exists():
        if time.monotonic() > give_up:
            raise TimeoutError(f"process {file.name} does not say what it noted")
        time.sleep(_POLL_S)
    text = file.read_text(encoding="utf-8")
    file.unlink()
    return text


def _signal(processes: Mapping[str, int], number: signal.Signals) -> None:
    for pid in processes.values():
        os.kill(pid, number)
