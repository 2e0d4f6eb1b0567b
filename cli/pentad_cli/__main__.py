"""`pentad`: run one command and turn whatever goes wrong into one line and an exit code."""

import os
import sys
from typing import NoReturn

import typer

from pentad_chassis.config import ConfigInvalid
from pentad_chassis.errors import ServiceError
from pentad_cli.commands import app
from pentad_cli.failure import CommandFailed, describe

INTERRUPTED = 130


def main() -> NoReturn:
    """Run the command line; exit 0, 1 for a failure, 2 for wrong usage, 130 if interrupted."""
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
    except CommandFailed as failure:
        _end(str(failure), failure.exit_code)
    except ServiceError as error:
        _end(describe(error, os.environ.get("PENTAD_ADDRESS", "127.0.0.1:50051")), 1)
    except ConfigInvalid as invalid:
        _end("; ".join(invalid.problems), 2)
    except typer.TyperException as wrong:
        _end(f"{wrong.format_message()} See `pentad --help`.", wrong.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        _end("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has had enough; Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _end(f"{error.filename or 'input or output'}: {error.strerror}", 1)
    sys.exit(code if isinstance(code, int) else 0)


def _end(line: str, code: int) -> NoReturn:
    sys.stderr.write(f"pentad: {line}\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
