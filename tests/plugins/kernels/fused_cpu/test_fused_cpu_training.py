"""Runs that are trained by one backend and go on with the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core_engine import Engine, Result, load_core

DIM, STEPS = 32, 12


@pytest.fixture
def recipe(tmp_path: Path) -> dict[str, Any]:
    """Targets are a rotation of the inputs, with noise."""
    source = np.random.default_rng(0)
    inputs = source.normal(size=(160, DIM)).astype(np.float32)
    turned = inputs @ np.linalg.qr(source.normal(size=(DIM, DIM)))[0].astype(np.float32)
    np.save(tmp_path / "inputs.npy", inputs)
    np.save(tmp_path / "targets.npy", turned + 0.1 * source.normal(size=turned.shape).astype(np.float32))
    pairs = {"type": "embeddings", "inputs": str(tmp_path / "inputs.npy"), "targets": str(tmp_path / "targets.npy")}
    return {
        "data": {"train": pairs},
        "mode": {"type": "dialogue"},
        "reshape": {"type": "linear", "channels": 4},
        "lattice": {
            "size": [2, 2, 2],
            "channels": 8,
            "steps": 4,
            "kernel": {"type": "stencil", "hidden": 32, "update": "gated", "state_noise": 0.1},
        },
        "loss": [{"type": "cosine"}],
        "train": {
            "max_steps": STEPS,
            "batch_size": 16,
            "evaluate_every": 4,
            "optimizer": {"type": "adamw", "lr": 0.01},
        },
        "evaluation": {"baselines": []},
        "loggers": [],
        "output": str(tmp_path / "runs"),
    }


def of(recipe: dict[str, Any], backend: str, name: str) -> Engine:
    return Engine.from_recipe({**recipe, "name": name, "lattice": {**recipe["lattice"], "backend": backend}})


def finished(result: Result | None) -> Result:
    assert result is not None
    return result


@pytest.mark.parametrize(("first", "then"), [("fused_cpu", "reference"), ("reference", "fused_cpu")])
def test_a_run_goes_on_with_another_backend(recipe: dict[str, Any], first: str, then: str) -> None:
    whole = finished(of(recipe, first, "whole").run())
    begun = of(recipe, first, "moved")
    assert begun.run(should_stop=lambda step: step == STEPS // 2) is None
    moved = finished(of(recipe, then, "moved").run(resume="auto"))
    assert (whole.backend, moved.backend) == (first, then)
    assert moved.validation["loss"] == pytest.approx(whole.validation["loss"], rel=1e-4)
    assert moved.test["cosine"] == pytest.approx(whole.test["cosine"], abs=1e-4)
    assert moved.test["cosine"] > moved.untrained["cosine"] + 0.01


def test_a_trained_core_is_the_same_map_with_either_backend(recipe: dict[str, Any]) -> None:
    run_dir = finished(of(recipe, "fused_cpu", "trained").run()).run_dir
    given = torch.randn(7, DIM, generator=torch.Generator().manual_seed(1))
    fused, plain = (load_core(run_dir, backend=backend)(given) for backend in ("fused_cpu", "reference"))
    torch.testing.assert_close(fused, plain, rtol=1e-5, atol=1e-5)
