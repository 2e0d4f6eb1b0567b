"""`make demo`: a whole suite, a real job, and everything that can be seen of it.

Starts five processes on a temporary folder with the embedded store, applies the agents of
`examples/agents`, performs `examples/workflows/ticket-report.yaml` on `examples/data/tickets.csv`
and prints the answer, the run's timeline, its trace and the note it wrote. All by the `pentad`
command, so that every line can be typed by hand as well. Nothing is left running.

With PENTAD_DEMO_MODEL (such as `openai:gpt-5-mini`) and that provider's key in the environment
the same agents use that model.
"""

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
PENTAD = (sys.executable, "-m", "pentad_cli")
STOP_S = 60.0
COMMAND_S = 900.0


def main() -> int:
    """Return 0 once the job is done and everything has stopped."""
    with tempfile.TemporaryDirectory(prefix="pentad-demo-") as folder:
        try:
            return _demo(Path(folder))
        except subprocess.CalledProcessError as failed:
            return int(failed.returncode)
        except KeyboardInterrupt:
            return 130


def _demo(folder: Path) -> int:
    address = f"127.0.0.1:{_free_port()}"
    data_dir = folder / "data"
    environment = {
        **os.environ,
        "PENTAD_ADDRESS": address,
        "PENTAD_API_KEY_FILE": str(data_dir / "api-key"),
    }
    up = ("up", "--processes", "--files", str(HERE / "data"), "--data-dir", str(data_dir))
    with _suite(up, environment, folder / "suite.log"):
        for file in _agents(folder):
            _pentad(environment, "agent", "apply", "-f", str(file))
        _pentad(environment, "run", "--file", str(HERE / "workflows" / "ticket-report.yaml"))
        run_id = _output(environment, "runs", "--limit", "1").split("\t")[0]
        _pentad(environment, "show", run_id, "--events")
        _pentad(environment, "trace", run_id)
        for note in sorted((data_dir / "notebooks").glob("*/*.txt")):
            print(f"\n# {note.relative_to(data_dir)}\n{note.read_text('utf-8')}", flush=True)
    print("Done. Everything that was started has stopped.", flush=True)
    return 0


@contextmanager
def _suite(up: tuple[str, ...], environment: dict[str, str], log: Path) -> Iterator[None]:
    """Run a suite while the block runs; the demo fails if it does not stop in order."""
    _announce(up)
    with log.open("wb") as services:
        suite = subprocess.Popen(
            [*PENTAD, *up],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=services,
            text=True,
            start_new_session=True,  # Ctrl-C is for the demo, which then stops the suite itself
        )
    try:
        _wait_until_ready(suite)
        yield
    except subprocess.CalledProcessError:
        sys.stderr.write(log.read_text("utf-8", errors="replace"))
        raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            suite.send_signal(signal.SIGINT)
        try:
            suite.wait(STOP_S)
        except subprocess.TimeoutExpired:
            suite.kill()
            suite.wait()
    if suite.returncode:
        raise subprocess.CalledProcessError(suite.returncode, "pentad up")


def _wait_until_ready(suite: "subprocess.Popen[str]") -> None:
    assert suite.stdout is not None, "it is a pipe"
    for line in suite.stdout:
        print(line, end="", flush=True)
        if "ready at" in line:
            return
    raise subprocess.CalledProcessError(suite.wait(STOP_S) or 1, "pentad up")


def _agents(folder: Path) -> Iterator[Path]:
    """Yield the agents' files; copies that name another model if one is wanted."""
    model = os.environ.get("PENTAD_DEMO_MODEL")
    for file in sorted((HERE / "agents").glob("*.yaml")):
        if not model:
            yield file
            continue
        agents = [{**a, "model": model} for a in yaml.safe_load_all(file.read_text("utf-8"))]
        copy = folder / file.name
        copy.write_text(yaml.safe_dump_all(agents, sort_keys=False), encoding="utf-8")
        yield copy


def _pentad(environment: dict[str, str], *arguments: str) -> None:
    _announce(arguments)
    subprocess.run([*PENTAD, *arguments], env=environment, check=True, timeout=COMMAND_S)


def _output(environment: dict[str, str], *arguments: str) -> str:
    return subprocess.run(
        [*PENTAD, *arguments],
        env=environment,
        check=True,
        timeout=COMMAND_S,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def _announce(arguments: tuple[str, ...]) -> None:
    print(f"\n$ pentad {shlex.join(arguments)}", flush=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
