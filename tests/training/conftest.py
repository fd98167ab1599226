from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from core_engine import Pairs, RunInfo, Train
from core_engine.recipe.modes import Autoencoder, Dialogue, Mixed
from core_engine.recipe.training import Cosine
from core_engine.training.clock import Clock
from core_engine.training.criterion import Criterion
from core_engine.training.events import Events
from core_engine.training.rows import training_rows
from core_engine.training.trainer import Trainer


def linear_task(count: int, seed: int, dim: int = 8) -> Pairs:
    """Targets are a fixed rotation of the inputs, plus a little noise; groups of five rows."""
    generator = torch.Generator().manual_seed(seed)
    rotation = torch.linalg.qr(torch.randn(dim, dim, generator=torch.Generator().manual_seed(99)))[0]
    inputs = torch.randn(count, dim, generator=generator)
    targets = inputs @ rotation + 0.05 * torch.randn(count, dim, generator=generator)
    return Pairs(inputs, targets, group_ids=torch.arange(count) // 5)


def cosine_loss(output: torch.Tensor, target: torch.Tensor, batch: object) -> torch.Tensor:
    return (1 - torch.cosine_similarity(output, target)).mean()


@pytest.fixture
def make_trainer(tmp_path: Path) -> Callable[..., Trainer]:
    """A trainer of a small MLP; keyword arguments beside the named ones are options of ``Train``."""

    def make(
        mode: Autoencoder | Dialogue | Mixed | None = None,
        core: nn.Module | None = None,
        loss: Any = cosine_loss,
        folder: str = "run",
        pairs: Pairs | None = None,
        extra: Pairs | None = None,
        sampler: Any = None,
        should_stop: Callable[[int], bool] = lambda step: False,
        **options: Any,
    ) -> Trainer:
        torch.manual_seed(7)
        if core is None:
            core = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        options = {"epochs": 3, "batch_size": 16, "schedule": Cosine(), **options}
        rows = training_rows(pairs or linear_task(100, 1), extra, mode or Dialogue(), 0, sampler)
        made = Train(**options)
        run = RunInfo(tmp_path / folder, "test", core, 0)
        return Trainer(
            core=core,
            criterion=Criterion([("cosine", 1.0, loss)]),
            rows=rows,
            validation=linear_task(30, 2),
            options=made,
            seed=0,
            checkpoints=tmp_path / folder / "checkpoints",
            facts={"input_dim": 8, "output_dim": 8},
            events=Events(run, clock=Clock(on=made.profile)),
            should_stop=should_stop,
        )

    return make
