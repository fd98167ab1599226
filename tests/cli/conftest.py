from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., "subprocess.CompletedProcess[str]"]

ROOT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).with_name("core-engine")


@pytest.fixture(scope="session")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """Runs the installed command in a folder of its own, or in ``cwd``."""

    def run(*arguments: object, cwd: Path | None = None, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(PROGRAM), *map(str, arguments)],
            cwd=cwd or tmp_path_factory.mktemp("cli"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def finished_run(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The result of a short quickstart run with the real teacher, as ``run --json`` printed it."""
    done = cli(
        *("run", ROOT / "configs/quickstart.yaml", "train.epochs=3", "--json"),
        cwd=tmp_path_factory.mktemp("quickstart"),
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result
