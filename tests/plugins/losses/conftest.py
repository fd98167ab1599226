from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import core_engine_losses
import pytest
import torch
from torch import Tensor

from core_engine import Batch, Loss, LossContext

LOSSES = {component.name: component.config for component in core_engine_losses.losses()}


def build(name: str, **options: Any) -> Loss:
    return LOSSES[name](**options).build(LossContext(dim=8, seed=0))


def value(loss: Loss, output: Tensor, target: Tensor, batch: Batch) -> Tensor:
    result = loss(output, target, batch)
    return result if isinstance(result, Tensor) else result[0]


def batch_of(target_ids: Sequence[int] | Tensor) -> Batch:
    ids = torch.as_tensor(target_ids)
    return Batch(
        indices=torch.arange(len(ids)),
        inputs=torch.zeros(len(ids), 8),
        target_ids=ids,
        group_ids=torch.zeros_like(ids),
        epoch=0,
    )


@pytest.fixture(scope="session")
def build_loss() -> Callable[..., Loss]:
    return build


@pytest.fixture(scope="session")
def make_batch() -> Callable[[Sequence[int] | Tensor], Batch]:
    return batch_of


VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("cosine", {}),
    ("mse", {}),
    ("combined", {"cosine_weight": 0.3, "mse_weight": 2.0}),
    ("huber", {"delta": 0.7}),
    ("triplet", {"distance": "cosine", "margin": 0.5}),
    ("triplet", {"distance": "euclidean", "margin": 1.5}),
    ("triplet", {"distance": "cosine", "margin": 0.5, "in_batch": "all"}),
    ("info_nce", {"temperature": 0.1}),
    ("info_nce", {"temperature": 0.1, "learned_temperature": True}),
    ("info_nce", {"temperature": 0.1, "symmetric": True}),
]


@pytest.fixture(params=VARIANTS, ids=lambda variant: "-".join([variant[0], *map(str, variant[1].values())]))
def any_loss(request: pytest.FixtureRequest) -> Callable[[Tensor, Tensor, Batch], Tensor]:
    """Each bundled loss in turn, without its parts."""
    name, options = request.param
    loss = build(name, **options)
    return lambda output, target, batch: value(loss, output, target, batch)
