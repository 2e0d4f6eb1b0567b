"""Write the Python stubs of every proto under `protos/pentad` to `protos/gen`."""

import sys
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

from grpc_tools import protoc

HERE = Path(__file__).parent


def replace(gen: Path) -> int:
    """Make `gen` hold the stubs of the protos and nothing else; return protoc's exit code.

    What has not changed is left alone, and after an error everything is.
    """
    with TemporaryDirectory(prefix="pentad-stubs-") as folder:
        fresh = Path(folder)
        if code := generate(fresh):
            return code
        files_now = {path.relative_to(fresh) for path in fresh.rglob("*") if path.is_file()}
        for name in sorted(files_now):
            stub, content = gen / name, (fresh / name).read_bytes()
            if not stub.exists() or stub.read_bytes() != content:
                stub.parent.mkdir(parents=True, exist_ok=True)
                stub.write_bytes(content)
        for path in [*gen.rglob("*.py"), *gen.rglob("*.pyi")]:
            if path.relative_to(gen) not in files_now:
                path.unlink()
    return 0


def generate(gen: Path) -> int:
    """Write stubs into a folder that is empty or not there; return protoc's exit code."""
    gen.mkdir(exist_ok=True)
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
    if code:
        return int(code)
    root = gen / "pentad"
    for folder in (root, *(p for p in root.rglob("*") if p.is_dir())):
        (folder / "__init__.py").touch()
    (root / "py.typed").touch()
    return 0


if __name__ == "__main__":
    sys.exit(replace(HERE / "gen"))
