"""Write the Python stubs of every proto under `protos/pentad` to `protos/gen`."""

import shutil
import sys
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

HERE = Path(__file__).parent


def generate(gen: Path) -> int:
    """Replace `gen` with fresh stubs; return protoc's exit code."""
    shutil.rmtree(gen, ignore_errors=True)
    gen.mkdir()
    protos = sorted(str(p.relative_to(HERE)) for p in HERE.glob("pentad/**/*.proto"))
    well_known = str(files("grpc_tools") / "_proto")
    code = protoc.main(
        [
            "protoc",
            f"-I{HERE}",
            f"-I{well_known}",
            f"--python_out={gen}",
            f"--grpc_python_out={gen}",
            f"--mypy_out={gen}",
            f"--mypy_grpc_out={gen}",
            *protos,
        ]
    )
    root = gen / "pentad"
    for folder in (root, *(p for p in root.rglob("*") if p.is_dir())):
        (folder / "__init__.py").touch()
    (root / "py.typed").touch()
    return int(code)


if __name__ == "__main__":
    sys.exit(generate(HERE / "gen"))
