"""Having figures drawn, where what draws them is installed."""

import subprocess
import sys
from pathlib import Path

from bench.site import OUT

_PYTHON = OUT / "plots" / "venv" / "bin" / "python"
_PROGRAMS = Path(__file__).parent
_WORK = _PROGRAMS / "draw.py"
GROWTH = _PROGRAMS / "growth.py"
SOAK = _PROGRAMS / "soak.py"
_DRAW_S = 120.0


def draw(result: Path, folder: Path, program: Path = _WORK) -> None:
    """Have a program draw a result into a folder, or say on standard error why not."""
    if not _PYTHON.exists():
        sys.stderr.write("bench: no figures are drawn; bench/plots/install installs what does it\n")
        return
    folder.mkdir(parents=True, exist_ok=True)
    ended = subprocess.run((_PYTHON, program, result, folder), timeout=_DRAW_S, check=False)
    if ended.returncode:
        sys.stderr.write("bench: no figures are drawn; see above\n")
