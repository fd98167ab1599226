"""Optimisers and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from attrs import define, frozen
from torch import nn

from core_engine.errors import TrainingError
from core_engine.recipe.training import SGD, Adam, AdamW, Constant, Cosine, Plateau

#: A name that begins so is of a loss's parameter.
LOSS_PREFIX = "loss."


def build_optimizer(options: AdamW | Adam | SGD, named: Sequence[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
    """PyTorch's own optimiser of that name, in the form that can be told on the device to leave a step out.

    TrainingError for a pattern in ``no_decay`` that fits no parameter.
    """
    if isinstance(options, Adam):
        return torch.optim.Adam([parameter for _, parameter in named], options.lr, options.betas, fused=True)
    groups = _decay_groups(options, named)
    if isinstance(options, AdamW):
        return torch.optim.AdamW(groups, options.lr, options.betas, weight_decay=options.weight_decay, fused=True)
    optimizer = torch.optim.SGD(groups, options.lr, options.momentum, weight_decay=options.weight_decay, fused=True)
    if options.momentum:
        # Else a first step that is left out would leave them with whatever was in memory.
        for _, parameter in named:
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def _decay_groups(options: AdamW | SGD, named: Sequence[tuple[str, nn.Parameter]]) -> list[dict[str, Any]]:
    of_core = [name for name, _ in named if not name.startswith(LOSS_PREFIX)]
    for pattern in options.no_decay:
        if not any(fnmatchcase(name, pattern) for name in of_core):
            raise TrainingError(
                f"train.optimizer.no_decay: {pattern!r} fits no parameter of the core: {', '.join(of_core)}"
            )

    def decays(name: str) -> bool:
        return not name.startswith(LOSS_PREFIX) and not any(fnmatchcase(name, p) for p in options.no_decay)

    decayed = [parameter for name, parameter in named if decays(name)]
    left_alone = [parameter for name, parameter in named if not decays(name)]
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": left_alone, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


@frozen
class RateSchedule:
    """The learning rate's factor at each step: a function of the step alone, but for what ``PlateauState`` adds."""

    options: Constant | Cosine | Plateau
    total_steps: int

    def factor(self, step: int) -> float:
        """Factor for the optimiser step after ``step`` steps are done."""
        warmup = math.ceil(self.options.warmup * self.total_steps)
        if step < warmup:
            return (step + 1) / warmup
        if not isinstance(self.options, Cosine):
            return 1.0
        progress = (step - warmup) / max(1, self.total_steps - warmup)
        final = self.options.final
        return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))


@define
class PlateauState:
    """What the plateau schedule remembers: the factor so far, and evaluations since the last improvement."""

    factor: float = 1.0
    waited: int = 0

    def update(self, options: Constant | Cosine | Plateau, improved: bool) -> None:
        if not isinstance(options, Plateau):
            return
        self.waited = 0 if improved else self.waited + 1
        if self.waited > options.patience:
            self.factor *= options.factor
            self.waited = 0
