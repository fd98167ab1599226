"""What the tests of losses that wrap others or use further teachers share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import core_engine_losses
import torch
from torch import Tensor

from core_engine import Batch, ComponentRef, Kind, Loss, LossContext
from core_engine.host.registry import Provider

LOSSES = {component.name: component.config for component in core_engine_losses.losses()}


def a_loss(type: str, **options: Any) -> ComponentRef:  # noqa: A002
    """A loss as a recipe names it."""
    return ComponentRef(Kind.LOSS, type, LOSSES[type](**options), Provider("core_engine_losses", "core-engine", "0"))


def build(name: str, dim: int, further: Mapping[str, int] | None = None, **options: Any) -> Any:
    """The built loss, for outputs of ``dim`` dimensions and further teachers of these."""
    loss: Loss = LOSSES[name](**options).build(LossContext(dim=dim, seed=0, further=further or {}))
    return loss


def batch_with(rows: int, progress: float = 0.0, **more: Any) -> Batch:
    ids = torch.arange(rows)
    return Batch(**{"target_ids": ids, "group_ids": ids} | more, indices=ids, inputs=ids, epoch=0, progress=progress)


def normal(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
