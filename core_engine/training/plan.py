"""What a run is going to do, as far as it is known before the first step."""

from __future__ import annotations

from torch import nn

from core_engine.data.pairs import Pairs
from core_engine.errors import TrainingError
from core_engine.recipe.training import Train
from core_engine.training.criterion import Criterion
from core_engine.training.rows import TrainingRows
from core_engine.training.stopping import Monitor

DEFAULT_EPOCHS = 10


def monitor_of(options: Train, validation: Pairs) -> Monitor:
    """The monitored metric. TrainingError where the validation rows will not have it."""
    return Monitor(options.monitor, groups=validation.group_ids is not None)


def trained_parameters(core: nn.Module, criterion: Criterion) -> list[tuple[str, nn.Parameter]]:
    """The core's parameters, and the losses' under names that begin with ``loss``. TrainingError where the core has
    none.
    """
    named = [(name, parameter) for name, parameter in core.named_parameters() if parameter.requires_grad]
    if not named:
        raise TrainingError("nothing to train: no parameter of the core requires a gradient")
    return named + [(n, p) for n, p in criterion.named_parameters(prefix="loss") if p.requires_grad]


def total_steps(options: Train, rows: TrainingRows) -> int:
    """Optimiser steps of a whole run."""
    if options.epochs is None and options.max_steps is not None:
        return options.max_steps
    epochs = options.epochs or DEFAULT_EPOCHS
    # Epochs are of two kinds at most: the even and the odd ones.
    even, odd = rows.steps(0, options.batch_size), rows.steps(1, options.batch_size)
    steps = even * ((epochs + 1) // 2) + odd * (epochs // 2)
    return steps if options.max_steps is None else min(steps, options.max_steps)
