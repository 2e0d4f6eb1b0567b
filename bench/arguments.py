"""The command line of `python -m bench`."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bench.stage import TITLES
from bench.suite import VIA
from bench.work import Work

_Part = TypeVar("_Part")

_IN_FLIGHT_MAX = 1000
_ROUNDS_MAX = 100
_SECONDS_MIN, _SECONDS_MAX = 0.1, 60.0
_MINUTES_MIN, _MINUTES_MAX = 0.1, 600.0


@dataclass(frozen=True, slots=True)
class Arguments:
    """What is to be measured, for how long, and where it goes."""

    works: Sequence[Work]
    concurrency: Sequence[int]
    systems: Sequence[str]
    rounds: int
    seconds: float
    minutes: float
    via: str
    figures: Path | None
    earlier: Path | None
    """A result to print instead of measuring."""

    def settings(self) -> dict[str, object]:
        """Return what decides what is measured, for the record."""
        return {
            "works": list(self.works),
            "concurrency": list(self.concurrency),
            "systems": list(self.systems),
            "rounds": self.rounds,
            "seconds": self.seconds,
            "minutes": self.minutes,
            "via": self.via,
        }


def parse(description: str | None, words: Sequence[str] | None = None) -> Arguments:
    """Return what the command line says; exit 2 with a line that says what is wrong with it."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=description)
    add = parser.add_argument
    works, systems = ",".join(Work), ",".join(TITLES)
    add("--workload", type=_works, default=works, dest="works", help=f"of {works} (all)")
    counts = "1,16,64,256"
    add("--concurrency", type=_in_flight, default=counts, help=f"runs in flight ({counts})")
    add("--systems", type=_systems, default=systems, help=f"of {systems} (all)")
    add("--rounds", type=_rounds, default=3, help="turns of each cell (3)")
    add("--seconds", type=_seconds, default=1.0, help="length of a turn (1)")
    late = "a round that would end later than after so many is not begun (8.5)"
    add("--minutes", type=_minutes, default=8.5, help=late)
    via = "how a suite performs what does not stream: one ExecuteRun, or CreateRun and WaitRun"
    add("--via", choices=sorted(VIA), default="execute", help=f"{via} (execute)")
    add("--figures", type=Path, metavar="FOLDER", help="where to draw figures (nowhere)")
    earlier = "measure nothing, and show an earlier result"
    add("--from", type=existing_file, metavar="FILE", dest="earlier", help=earlier)
    return Arguments(**vars(parser.parse_args(words)))


def _works(text: str) -> list[Work]:
    return [Work(name) for name in _names(text, list(Work))]


def _systems(text: str) -> list[str]:
    # In the order of the tables, whatever order they are named in.
    named = _names(text, list(TITLES))
    return [name for name in TITLES if name in named]


def _names(text: str, known: Sequence[str]) -> list[str]:
    return _each_once(text, lambda part: _name(part, known))


def _name(text: str, known: Sequence[str]) -> str:
    if text not in known:
        raise argparse.ArgumentTypeError(f"there is no {text!r}; give some of {', '.join(known)}")
    return text


def _in_flight(text: str) -> list[int]:
    return sorted(_each_once(text, lambda part: whole_number(part, _IN_FLIGHT_MAX)))


def _each_once(text: str, read: Callable[[str], _Part]) -> list[_Part]:
    parts = [read(part.strip()) for part in text.split(",")]
    if len(set(parts)) < len(parts):
        raise argparse.ArgumentTypeError(f"{text!r} names one twice")
    return parts


def _rounds(text: str) -> int:
    return whole_number(text, _ROUNDS_MAX)


def whole_number(text: str, most: int = 1000) -> int:
    """Read a number from the command line, or raise the error that argparse tells."""
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= most):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {most}")
    return int(text)


def _seconds(text: str) -> float:
    return real_number(text, _SECONDS_MIN, _SECONDS_MAX)


def _minutes(text: str) -> float:
    return real_number(text, _MINUTES_MIN, _MINUTES_MAX)


def real_number(text: str, least: float, most: float) -> float:
    """Read a number from the command line, or raise the error that argparse tells."""
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not least <= number <= most:  # neither is what is not a number
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least:g} to {most:g}")
    return number


def existing_file(text: str) -> Path:
    """Read the path of a file that is there, or raise the error that argparse tells."""
    if not (path := Path(text)).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text!r}")
    return path
