"""The code in the documentation runs as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from core_engine import EmbeddingProcessor, KernelContext, Kind, ReshapeContext, use_backend
from core_engine.host.host import PluginHost
from core_engine.host.registry import Provider

ROOT = Path(__file__).parents[2]


def blocks(name: str, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


@pytest.mark.parametrize(
    ("name", "index"),
    [
        (name, index)
        for name in ("docs/python.md", "docs/plugins.md", "docs/kernels.md")
        for index, _ in enumerate(blocks(name, "python"))
    ],
)
def test_python_code_runs(name: str, index: int, tmp_path: Path) -> None:
    code = blocks(name, "python")[index].replace('"configs/', f'"{ROOT}/configs/')
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_backend_of_the_documentation_computes_its_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from core_engine_reshapes import Linear

    (code,) = [block for block in blocks("docs/plugins.md", "python") if "def backends()" in block]
    (tmp_path / "documented.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    import documented  # type: ignore[import-not-found]

    host = PluginHost()
    host.register(documented, Provider("documented", "documented", "1"))
    size = (5, 2, 3)
    reshape = Linear(channels=2).build(ReshapeContext(50, 50, size, seed=0))
    kernel = host.registry.get(Kind.KERNEL, "diffusion").component.config().build(KernelContext(size, 4, 2, seed=0))
    core = EmbeddingProcessor(
        reshape=reshape, kernel=kernel, input_dim=50, output_dim=50, size=size, channels=4, steps=6
    )
    choice = use_backend(core, host=host)
    assert (choice.name, choice.refused) == ("spectral", {})
    assert choice.error is not None
    assert choice.error < 1e-5
