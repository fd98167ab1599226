"""How large the cells' states are, step by step: whether they grow or vanish."""

from __future__ import annotations

import torch
from torch import Tensor

from core_engine.core.processor import EmbeddingProcessor

#: Rows that are looked at.
_ROWS = 64
#: Steps that are told of, the first and the last among them.
_STEPS = 9


def state_sizes(core: EmbeddingProcessor, inputs: Tensor) -> dict[str, float]:
    """``state_rms/t``: root mean square of all values of all cells after t steps, t = 0 being what the reshape puts in.

    Of the first rows of ``inputs [n, D_in]``, and of some of the steps where there are many. Waits for the device.
    """
    was_training = core.training
    core.eval()
    chosen = sorted({round(float(step)) for step in torch.linspace(0, core.steps, min(_STEPS, core.steps + 1))})
    with torch.no_grad():
        sizes = {step: core.state_after(inputs[:_ROWS], step).float().square().mean().sqrt() for step in chosen}
    core.train(was_training)
    return {f"state_rms/{step}": float(size) for step, size in sizes.items()}
