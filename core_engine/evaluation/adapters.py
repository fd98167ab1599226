"""Baselines trained with the same loss as the core: what an ordinary linear or two-layer adapter makes of the data."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Final

import torch
import torch.nn.functional as F
from attrs import frozen
from torch import Tensor, nn

from core_engine.contracts.objects import Batch, Loss
from core_engine.data.pairs import Pairs
from core_engine.errors import TrainingError
from core_engine.evaluation.metrics import evaluate
from core_engine.evaluation.names import METRICS, why_not_watch

_EPOCHS = 20
_BATCH_SIZE = 256
_WEIGHT_DECAY = 0.01


class Centred(nn.Module):
    """``x -> body(x - mean of the training inputs) + mean of the training targets``: ``[n, D_in] -> [n, D_out]``."""

    input_mean: Tensor
    target_mean: Tensor

    def __init__(self, body: nn.Module, train: Pairs) -> None:
        super().__init__()
        self.body = body
        self.register_buffer("input_mean", train.inputs.mean(0))
        self.register_buffer("target_mean", train.targets.mean(0))

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.body(inputs - self.input_mean) + self.target_mean
        return output


class Linear(nn.Module):
    """``x -> W x + b``. W starts at the identity, or where the dimensions differ at a random matrix with orthonormal rows
    or columns; b starts at zero."""

    def __init__(self, input_dim: int, output_dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(output_dim, input_dim))
        self.bias = nn.Parameter(torch.zeros(output_dim))
        if input_dim != output_dim:
            nn.init.orthogonal_(self.weight, generator=generator)

    def forward(self, inputs: Tensor) -> Tensor:
        return F.linear(inputs, self.weight, self.bias)


class TwoLayer(nn.Module):
    """``x -> S x + W2 gelu(W1 x + b1) + b2`` with 2 · D_in hidden units.

    S is the identity, or where the dimensions differ a learned :class:`Linear` (the projection shortcut of He et al.,
    2016, "Deep Residual Learning"). W2 and b2 start at zero, W1 and b1 uniform within 1 / sqrt(D_in).
    """

    def __init__(self, input_dim: int, output_dim: int, generator: torch.Generator) -> None:
        super().__init__()
        hidden = 2 * input_dim
        bound = 1 / math.sqrt(input_dim)
        self.shortcut = nn.Identity() if input_dim == output_dim else Linear(input_dim, output_dim, generator)
        self.weight1 = nn.Parameter(torch.empty(hidden, input_dim).uniform_(-bound, bound, generator=generator))
        self.bias1 = nn.Parameter(torch.empty(hidden).uniform_(-bound, bound, generator=generator))
        self.weight2 = nn.Parameter(torch.zeros(output_dim, hidden))
        self.bias2 = nn.Parameter(torch.zeros(output_dim))

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = F.gelu(F.linear(inputs, self.weight1, self.bias1))
        output: Tensor = self.shortcut(inputs) + F.linear(hidden, self.weight2, self.bias2)
        return output


@frozen
class Recipe:
    """``body(D_in, D_out, generator)`` makes the module; ``peak_rate`` is the highest learning rate of the cycle."""

    body: Callable[[int, int, torch.Generator], nn.Module]
    peak_rate: float


ADAPTERS: Final[Mapping[str, Recipe]] = {
    "linear": Recipe(Linear, 1e-3),
    "mlp": Recipe(TwoLayer, 1e-3),
}


def train_adapter(name: str, train: Pairs, validation: Pairs, *, loss: Loss, metric: str, seed: int) -> nn.Module:
    """Train the adapter of that name and give back its best epoch on ``validation``, by ``metric``.

    AdamW (weight decay 0.01), one-cycle rate (Smith and Topin, 2019), 20 epochs in batches of at most 256 rows. Each side is
    centred by its training mean; the loss and the metric see output and target in the teacher's own space. A loss with
    parameters of its own is copied and trained along, so the one passed in stays as it is. Random numbers come
    from one generator made from ``seed``: the same seed, data and number of threads give the same weights.

    ``Batch.group_ids`` holds the row's own number where ``train`` has no groups: each row is its own group.

    Raises TrainingError if the metric does not exist for ``validation`` or the loss is not finite.
    """
    refusal = why_not_watch(metric, groups=validation.group_ids is not None)
    if refusal:
        raise TrainingError(f"adapter {name!r}: {refusal}")
    recipe, device = ADAPTERS[name], train.inputs.device
    generator = torch.Generator().manual_seed(seed)
    body = recipe.body(train.inputs.shape[1], train.targets.shape[1], generator)
    adapter = Centred(body, train).to(device)
    loss = copy.deepcopy(loss)
    own = loss.parameters() if isinstance(loss, nn.Module) else ()

    batches = math.ceil(len(train) / _BATCH_SIZE)
    optimizer = torch.optim.AdamW([*adapter.parameters(), *own], recipe.peak_rate, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.peak_rate, total_steps=_EPOCHS * batches)
    sign = 1 if METRICS[metric] == "max" else -1
    best_score, best_state = -math.inf, adapter.state_dict()
    for epoch in range(_EPOCHS):
        total = torch.zeros((), device=device)
        order = torch.randperm(len(train), generator=generator).to(device)
        for rows in order.tensor_split(batches):  # all of nearly one size: no tiny last batch
            value = _loss_of(adapter, train, rows, loss, epoch)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            schedule.step()
            total += value.detach()
        if not total.isfinite():
            raise TrainingError(f"adapter {name!r}: the loss is not finite in epoch {epoch + 1} of {_EPOCHS}")
        with torch.no_grad():
            score = sign * evaluate(adapter(validation.inputs), validation)[metric]
        if score > best_score:
            best_score, best_state = score, copy.deepcopy(adapter.state_dict())
    adapter.load_state_dict(best_state)
    return adapter.requires_grad_(False)


def _loss_of(adapter: nn.Module, train: Pairs, rows: Tensor, loss: Loss, epoch: int) -> Tensor:
    inputs = train.inputs[rows]
    groups = rows if train.group_ids is None else train.group_ids[rows]
    batch = Batch(rows, inputs, train.target_ids[rows], groups, epoch)
    value = loss(adapter(inputs), train.targets[rows], batch)
    return value[0] if isinstance(value, tuple) else value
