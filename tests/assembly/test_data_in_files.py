"""Embeddings that do not fit into memory lie in files: the run is the same, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from structlog.testing import capture_logs

from core_engine import Engine, Result
from core_engine.memory import tables
from core_engine.training.checkpoint import newest_checkpoint, read_weights
from core_engine.training.prefetch import Prefetch

ROOT = Path(__file__).parents[2]
RECIPES: dict[str, tuple[str, list[str]]] = {
    "dialogue": (
        "quickstart",
        ["data.difficulty={type: similarity}", "sampler={type: curriculum}", "negatives={type: hard, count: 2}"],
    ),
    "autoencoder": ("autoencoder", []),
    "mixed": ("mixed", ["reshape={type: projection, channels: 2, init: principal}"]),
}


def run(mode: str, output: Path) -> Result:
    recipe, overrides = RECIPES[mode]
    engine = Engine.from_recipe(
        ROOT / f"configs/{recipe}.yaml",
        [
            *overrides,
            "train.epochs=2",
            "evaluation.baselines=[identity, ridge, procrustes, linear]",
            f"output={output}",
        ],
    )
    result = engine.run()
    assert result is not None
    return result


@pytest.mark.parametrize("mode", RECIPES)
@pytest.mark.slow
def test_a_run_on_embeddings_in_files_is_the_run_in_memory(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_memory = run(mode, tmp_path / "memory")
    read: list[int] = []
    touch = Prefetch._touch

    def counted(self: Prefetch, rows: Any) -> None:
        read.append(len(rows))
        touch(self, rows)

    monkeypatch.setattr(Prefetch, "_touch", counted)
    monkeypatch.setattr(tables, "free_memory", lambda device: 0)
    with capture_logs() as logs:
        in_files = run(mode, tmp_path / "files")
    assert any(entry["event"] == "embeddings lie in a file" for entry in logs)
    assert sum(read) > 0
    assert in_files.test == in_memory.test
    assert in_files.baselines == in_memory.baselines
    first, second = (read_weights(newest_checkpoint(result.run_dir, "best")) for result in (in_memory, in_files))
    assert all(torch.equal(first[name], second[name]) for name in first.keys() | second.keys())
