"""Optimisers and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from attrs import define, frozen
from torch import nn

from core_engine.recipe.training import SGD, Adam, AdamW, Constant, Cosine, Plateau


def build_optimizer(options: AdamW | Adam | SGD, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """PyTorch's own optimiser of that name."""
    if isinstance(options, AdamW):
        return torch.optim.AdamW(parameters, options.lr, options.betas, weight_decay=options.weight_decay)
    if isinstance(options, Adam):
        return torch.optim.Adam(parameters, options.lr, options.betas)
    return torch.optim.SGD(parameters, options.lr, options.momentum, weight_decay=options.weight_decay)


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
