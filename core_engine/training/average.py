"""The exponential moving average of the weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def average_of(core: nn.Module, decay: float) -> AveragedModel:
    """A copy of ``core`` whose ``update_parameters(core)``, once a step, moves it: ``a = d a + (1 - d) w``.

    In step n the decay d is the smaller of ``decay`` and ``(1 + n) / (10 + n)``, so that the first weights are soon
    forgotten (as in TensorFlow's ExponentialMovingAverage). Buffers are copied.
    """

    def move(averages: Sequence[Tensor], weights: Sequence[Tensor], updates: Tensor | int) -> None:
        done = int(updates)
        now = min(decay, (1 + done) / (10 + done))
        torch._foreach_lerp_(list(averages), list(weights), 1 - now)

    average = AveragedModel(core, multi_avg_fn=torch.no_grad()(move))
    return average.requires_grad_(False)
