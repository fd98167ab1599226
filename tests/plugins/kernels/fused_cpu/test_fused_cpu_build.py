"""The package's own build: with a compiler the library is there, without one everything else is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]


def installed(folder: Path, **environment: str) -> Path:
    """A copy of the project, built and installed into a folder of its own."""
    source, target = folder / "source", folder / "installed"
    source.mkdir()
    for name in ("core_engine", "plugins"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--target", str(target)]
    subprocess.run([*pip, *options, str(source)], check=True, env={**os.environ, **environment}, capture_output=True)
    return target


def kernels(target: Path) -> str:
    """What the installed command says of the quickstart."""
    code = "import sys; from core_engine.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "kernels", str(ROOT / "configs" / "quickstart.yaml")]
    environment = {**os.environ, "PYTHONPATH": str(target)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=target)
    return done.stdout


@pytest.mark.slow
def test_without_the_library_and_without_a_compiler(tmp_path: Path) -> None:
    target = installed(tmp_path, CC="false", CXX="false")
    assert not list(target.rglob("_stencil*"))
    said = kernels(target)
    assert "runs     reference" in said
    assert "refused  fused_cpu: the compiled extension is not there" in said


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ on this machine")
def test_with_a_compiler(tmp_path: Path) -> None:
    target = installed(tmp_path)
    assert [path.name for path in target.rglob("_stencil*")] == ["_stencil.abi3.so"]
    assert "runs     fused_cpu" in kernels(target)
    # Nothing but the C library: PyTorch brings the OpenMP runtime, and no second one may be loaded.
    needed = subprocess.run(
        ["readelf", "-d", next(target.rglob("_stencil*"))], capture_output=True, text=True, check=True
    )
    libraries = {line.split("[")[1].rstrip("]") for line in needed.stdout.splitlines() if "(NEEDED)" in line}
    assert not any("omp" in name or "torch" in name or "python" in name for name in libraries)
