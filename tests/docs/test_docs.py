"""The code in the documentation runs as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def blocks(name: str, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


@pytest.mark.parametrize(
    ("name", "index"),
    [(name, index) for name in ("docs/python.md", "docs/plugins.md") for index, _ in enumerate(blocks(name, "python"))],
)
def test_python_code_runs(name: str, index: int, tmp_path: Path) -> None:
    code = blocks(name, "python")[index].replace('"configs/', f'"{ROOT}/configs/')
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
