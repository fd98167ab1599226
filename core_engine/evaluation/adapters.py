"""Baselines trained with the same loss as the core: what an ordinary linear or two-layer adapter makes of the data."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping

import attrs
import structlog
import torch
from torch import Tensor, nn

from core_engine.contracts.metrics import METRICS, why_not_watch
from core_engine.contracts.objects import Batch, Loss
from core_engine.data.pairs import Pairs
from core_engine.errors import TrainingError
from core_engine.evaluation.bodies import BODIES, Body, MakeBody
from core_engine.evaluation.metrics import evaluate
from core_engine.memory.tables import mean_row, sum_of_squares

log = structlog.get_logger("core_engine.evaluation")

USUAL_BATCH = 256
_EPOCHS = 20
_LEAST_STEPS = 300  # in 20 epochs of a few hundred rows, nothing would have moved
_WARM_UP = 0.1  # share of all steps
# A weight row moves the output's mean by the sum of its many entries, the offset by one number: at the weights' rate it
# lags, and the map turns its axes to make up for it.
_OFFSET_PEAK_RATE = 2e-3
_LOSS_PEAK_RATE = 4e-4
_WEIGHT_DECAY = 0.01


class Adapter(nn.Module):
    """``x -> mean_t + scale_t (body((x - mean_x) / scale_x) + offset)``: ``[n, D_in] -> [n, D_out]``.

    Means are those of the training split, scales the root mean square length of its centred rows, so that the learning
    rate suits embeddings of any length. The offset is learned and starts at zero.
    """

    input_mean: Tensor
    target_mean: Tensor
    input_scale: Tensor
    target_scale: Tensor

    def __init__(self, body: Body, train: Pairs) -> None:
        super().__init__()
        self.body = body
        self.offset = nn.Parameter(torch.zeros(train.targets.shape[1]))
        for side, rows in (("input", train.inputs), ("target", train.targets)):
            mean = mean_row(rows)
            self.register_buffer(f"{side}_mean", mean)
            self.register_buffer(f"{side}_scale", (sum_of_squares(rows, mean) / len(rows)).sqrt().to(rows.dtype))

    def forward(self, inputs: Tensor) -> Tensor:
        standard = self.body((inputs - self.input_mean) / self.input_scale)
        output: Tensor = self.target_mean + self.target_scale * (standard + self.offset)
        return output


#: (epoch, share of training done before it, and after it, batch size) to row numbers, int64 ``[n]``.
Arrange = Callable[[int, float, float, int], Tensor]
#: Row numbers ``[B]`` to wrong targets ``[B, K, D]`` and which of them are there, bool ``[B, K]``.
WrongTargets = Callable[[Tensor], tuple[Tensor, Tensor]]


def train_adapter(
    name: str,
    train: Pairs,
    validation: Pairs,
    *,
    loss: Loss,
    metric: str,
    seed: int,
    arrange: Arrange | None = None,
    negatives: WrongTargets | None = None,
    noise: float = 0.0,
    rate: float = 1.0,
    batch_size: int = USUAL_BATCH,
    bodies: Mapping[str, MakeBody] = BODIES,
) -> Adapter:
    """Train the adapter of that name and give back its best epoch on ``validation``, by ``metric``.

    AdamW (weight decay 0.01), one-cycle rate (Smith and Topin, 2019), 20 epochs in batches of at most ``batch_size``
    rows; on small data as many epochs as make 300 steps. The loss and the metric see output and target in the
    teacher's own space. A loss with parameters of its own is copied and trained along, so the one passed in stays as
    it is.

    Random numbers come from one generator made from ``seed``: the same seed, data and number of threads give the
    same weights on the CPU.

    ``arrange``: the order of an epoch, shuffled where it is not given. ``negatives``: wrong targets for the loss.
    ``noise``: standard deviation, on each dimension, of what is added to the inputs, drawn anew for every batch.
    ``rate``: times the usual learning rate of the body. ``bodies``: among which the name is looked for.

    Raises TrainingError if ``validation`` does not have the metric, or the loss is not finite.
    """
    refusal = why_not_watch(metric, groups=validation.group_ids is not None)
    if refusal:
        raise TrainingError(f"adapter {name!r}: {refusal}")
    device = train.inputs.device
    generator = torch.Generator().manual_seed(seed)
    body = bodies[name](train.inputs.shape[1], train.targets.shape[1], generator)
    adapter = Adapter(body, train).to(device)
    body.fit(train.inputs, train.targets, adapter.input_mean, adapter.target_mean)
    loss = copy.deepcopy(loss)

    batches = math.ceil(len(train) / batch_size)
    epochs = max(_EPOCHS, math.ceil(_LEAST_STEPS / batches))
    optimizer, schedule = _optimizer(adapter, loss, epochs * batches, rate)
    best_epoch, best_score, best_state = 0, -math.inf, adapter.state_dict()
    for epoch in range(epochs):
        total = torch.zeros((), device=device)
        if arrange is None:
            order = torch.randperm(len(train), generator=generator)
        else:
            order = arrange(epoch, epoch / epochs, (epoch + 1) / epochs, batch_size)
        parts = order.to(device).tensor_split(batches)  # all of nearly one size: no tiny last batch
        for number, rows in enumerate(parts, start=epoch * batches):
            batch = train.batch(rows, epoch=epoch, progress=number / (epochs * batches))
            if train.difficulty is not None:
                batch = attrs.evolve(batch, difficulty=train.difficulty[rows])
            if negatives is not None:
                wrong, holds = negatives(rows)
                batch = attrs.evolve(batch, negatives=wrong, negative_mask=holds)
            if noise:
                drawn = torch.randn(batch.inputs.shape, generator=generator).to(batch.inputs)
                batch = attrs.evolve(batch, inputs=batch.inputs + noise * drawn)
            value = _loss_of(adapter, train, batch, loss)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            schedule.step()
            total += value.detach()
        if not total.isfinite():
            raise TrainingError(
                f"adapter {name!r}: the loss is not finite in epoch {epoch + 1} of {epochs}; "
                "check the loss's options and the embeddings, or leave this baseline out"
            )
        reached = score(adapter, validation, metric)
        if reached > best_score:
            best_epoch, best_score = epoch + 1, reached
            best_state = copy.deepcopy(adapter.state_dict())
    log.info(
        "adapter trained",
        adapter=name,
        epoch=best_epoch,
        metric=metric,
        value=round(best_score if METRICS[metric] == "max" else -best_score, 4),
    )
    adapter.load_state_dict(best_state)
    return adapter.requires_grad_(False)


@torch.no_grad()
def score(adapter: Adapter, validation: Pairs, metric: str) -> float:
    """The metric, or less than 0 of it where lower is better: the more the better."""
    value = evaluate(adapter(validation.inputs), validation)[metric]
    return value if METRICS[metric] == "max" else -value


def _optimizer(
    adapter: Adapter, loss: Loss, steps: int, rate: float
) -> tuple[torch.optim.AdamW, torch.optim.lr_scheduler.OneCycleLR]:
    groups = [
        {"params": list(adapter.body.parameters()), "lr": rate * adapter.body.peak_rate},
        {"params": [adapter.offset], "lr": _OFFSET_PEAK_RATE},
    ]
    if isinstance(loss, nn.Module):
        groups.append({"params": list(loss.parameters()), "lr": _LOSS_PEAK_RATE, "weight_decay": 0.0})
    optimizer = torch.optim.AdamW(groups, weight_decay=_WEIGHT_DECAY)
    peaks = [group["lr"] for group in optimizer.param_groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peaks, total_steps=steps, pct_start=_WARM_UP)
    return optimizer, schedule


def _loss_of(adapter: Adapter, train: Pairs, batch: Batch, loss: Loss) -> Tensor:
    value = loss(adapter(batch.inputs), train.targets[batch.indices], batch)
    return value[0] if isinstance(value, tuple) else value
