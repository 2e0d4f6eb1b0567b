"""Shows that the suite would notice: each safeguard is taken out of a copy, and tests go red.

    python tests/mutations/run.py [NAME...]

The tree itself is not touched. Exits 1 when a safeguard can be missing unnoticed, or when tests
are red without anything missing.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from mutations.safeguards import MUTATIONS, Mutation

ROOT = Path(__file__).parents[2]
PARTS = ("protos/gen", "chassis", "services", "deploy", "cli", "tests", "pyproject.toml")
PATHS = (
    "protos/gen",
    "chassis",
    *(f"services/{name}" for name in ("state", "tools", "executor", "orchestrator", "gateway")),
    "deploy/allinone",
    "cli",
)
PYTEST = (sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider")
ONE_ENGINE = ("-k", "not redis and not cluster and not sentinel")
"""What the embedded engine shows, the others need not show again."""

TIMEOUT_S = 120.0

GREEN, RED = 0, 1
"""How pytest ends; by any other end it says that it could not run the tests."""


def main() -> None:
    """Take out what is named, or everything, and print a line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    names = [mutation.name for mutation in MUTATIONS]
    parser.add_argument("name", nargs="*", help=f"of: {', '.join(names)}")
    given = parser.parse_args().name
    if unknown := set(given) - set(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    chosen = [mutation for mutation in MUTATIONS if not given or mutation.name in given]
    with tempfile.TemporaryDirectory(prefix="pentad-mutations-") as folder:
        tree = copy_of_the_tree(Path(folder))
        verdicts = [whole(tree, chosen), *(without(tree, mutation) for mutation in chosen)]
    sys.exit(0 if all(verdicts) else 1)


def whole(tree: Path, mutations: list[Mutation]) -> bool:
    """Whether the tests are green while nothing is missing."""
    code, failed, seconds = run(tree, *dict.fromkeys(mutation.tests for mutation in mutations))
    say("green" if code == GREEN else "NOT GREEN", "with nothing missing", failed, seconds)
    return code == GREEN


def without(tree: Path, mutation: Mutation) -> bool:
    """Whether the tests notice that a safeguard is missing."""
    with taken_out(tree, mutation):
        code, failed, seconds = run(tree, mutation.tests, "-x")
    say("noticed" if code == RED else "UNNOTICED", f"without {mutation.name}", failed, seconds)
    return code == RED


@contextmanager
def taken_out(tree: Path, mutation: Mutation) -> Iterator[None]:
    """Have the source without the safeguard inside the block."""
    file = tree / mutation.path
    source = file.read_text("utf-8")
    found = source.count(mutation.before)
    if found != 1:
        sys.exit(f"{mutation.path} has {found} places that look like {mutation.name}: adapt me")
    file.write_text(source.replace(mutation.before, mutation.after), "utf-8")
    try:
        yield
    finally:
        file.write_text(source, "utf-8")


def run(tree: Path, *arguments: str) -> tuple[int, str, float]:
    """Run pytest in the copy; return how it ended, what failed first, and how long it took."""
    paths = [str(tree / path) for path in PATHS]
    began = time.monotonic()
    try:
        done = subprocess.run(
            [*PYTEST, *ONE_ENGINE, *arguments],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return RED, "the tests do not end", time.monotonic() - began
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    first = failed[0].split(" ")[1].rpartition("::")[2] if failed else ""
    if done.returncode not in {GREEN, RED}:
        first = (done.stdout + done.stderr).strip()
    return done.returncode, first, time.monotonic() - began


def copy_of_the_tree(folder: Path) -> Path:
    """Return a copy of what tests need, in which the installed packages are not looked for."""
    for part in PARTS:
        source = ROOT / part
        if source.is_file():
            shutil.copy2(source, folder / part)
        else:
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def say(verdict: str, what: str, first: str, seconds: float) -> None:
    """Print a line of the table."""
    print(f"{verdict:<10} {seconds:5.1f} s  {what:<48} {first}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
