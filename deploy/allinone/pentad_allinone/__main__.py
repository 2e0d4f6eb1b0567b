"""`python -m pentad_allinone [--processes | --replicas …]`: run the suite until SIGTERM."""

import argparse
import sys
from pathlib import Path

from pentad_allinone.layout import DEFAULT_ADDRESS, ONE_EACH, SuiteUnusable, claim_layout
from pentad_allinone.replicas import parse_replicas
from pentad_allinone.serve import serve
from pentad_chassis.config import ConfigInvalid
from pentad_chassis.errors import ServiceError


def main() -> int:
    """Return 0 after an orderly stop, 1 when the suite cannot run, 2 when settings are wrong."""
    parser = argparse.ArgumentParser(prog="pentad_allinone", description=__doc__)
    parser.add_argument("--processes", action="store_true", help="five processes instead of one")
    parser.add_argument(
        "--replicas", metavar="executor=2,…", help="likewise, with several of some services"
    )
    parser.add_argument("--address", default=DEFAULT_ADDRESS, help="where the gateway listens")
    parser.add_argument("--data-dir", type=Path, default=Path(".pentad"), help="what outlives it")
    parser.add_argument("--files", type=Path, help="folder whose files tools may read")
    arguments = parser.parse_args()
    try:
        several = arguments.replicas is not None
        counts = parse_replicas(arguments.replicas) if several else ONE_EACH
        places = (arguments.data_dir, arguments.address, arguments.files)
        with claim_layout(*places, counts) as layout:
            serve(layout, processes=arguments.processes or several, ready=lambda: None)
    except ConfigInvalid as invalid:
        return _fail("; ".join(invalid.problems), 2)
    except (SuiteUnusable, ServiceError) as error:
        return _fail(str(error), 1)
    return 0


def _fail(line: str, code: int) -> int:
    sys.stderr.write(f"pentad: {line}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
