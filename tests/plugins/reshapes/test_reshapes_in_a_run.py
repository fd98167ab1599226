"""What a reshape fits, in a run: from the training split alone, and kept in the run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from core_engine import Engine, load_core

FITTED: dict[str, dict[str, Any]] = {
    "variance": {"type": "linear", "order": "variance"},
    "correlation": {"type": "linear", "order": "correlation"},
    "principal": {"type": "projection", "init": "principal", "rank": 0},
    "whitening": {"type": "projection", "init": "whitening", "rank": 0},
}


def part(folder: Path, name: str, seed: int) -> dict[str, str]:
    """40 rows whose dimensions have their variances, and what they share, from the seed."""
    source = np.random.default_rng(seed)
    inputs = source.normal(size=(40, 12)) @ source.normal(size=(12, 12)) * source.uniform(0.1, 2, 12)
    np.save(folder / f"{name}.inputs.npy", inputs.astype(np.float32))
    np.save(folder / f"{name}.targets.npy", (1 - inputs).astype(np.float32))
    return {
        "type": "embeddings",
        "inputs": str(folder / f"{name}.inputs.npy"),
        "targets": str(folder / f"{name}.targets.npy"),
    }


def run(folder: Path, reshape: dict[str, Any], *, train: int, held_out: int) -> tuple[dict[str, Tensor], Path]:
    """The reshape's state at the end of a run, and the run's folder. Seeds of the data."""
    folder.mkdir()
    seeds = {"train": train, "validation": held_out, "test": held_out + 1}
    recipe = {
        "mode": {"type": "dialogue"},
        "data": {name: part(folder, name, seed) for name, seed in seeds.items()},
        "reshape": {"channels": 3, **reshape},
        "lattice": {"size": [2, 2, 2], "channels": 4, "steps": 2, "kernel": {"type": "stencil", "hidden": 8}},
        "loss": [{"type": "mse"}],
        "train": {"epochs": 1, "batch_size": 20, "monitor": "cosine"},
        "evaluation": {"baselines": []},
        "loggers": [],
        "device": "cpu",
        "output": str(folder / "runs"),
    }
    engine = Engine.from_recipe(recipe)
    result = engine.run()
    assert result is not None
    return engine.core.reshape.state_dict(), result.run_dir  # type: ignore[union-attr]


@pytest.mark.parametrize("name", FITTED)
def test_only_the_training_split_is_fitted_to_and_the_run_keeps_it(name: str, tmp_path: Path) -> None:
    reshape = FITTED[name]
    fitted, folder = run(tmp_path / "first", reshape, train=0, held_out=1)
    other_held_out, _ = run(tmp_path / "other held out", reshape, train=0, held_out=5)
    other_training, _ = run(tmp_path / "other training", reshape, train=7, held_out=1)
    kept = load_core(folder).core.reshape.state_dict()  # type: ignore[union-attr]
    assert fitted
    for key, value in fitted.items():
        assert torch.equal(value, other_held_out[key])
        assert not torch.equal(value, other_training[key])
        assert torch.equal(value, kept[key])
