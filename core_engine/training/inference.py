"""Runs a trained core over many rows."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core_engine.core.processor import EmbeddingProcessor

#: Rows at a time: enough to keep a device busy, and little memory for any lattice that trains.
ROWS = 512

#: Key of the cells' noise wherever a core is used rather than trained, so that its figures and its use agree.
INFERENCE_SEED = 0


def apply_core(core: nn.Module, inputs: Tensor) -> Tensor:
    """``[n, D_in] -> [n, D_out]``, without gradients, in blocks. Row i draws the noise of sample i."""
    was_training = core.training
    core.eval()
    outputs = []
    with torch.no_grad():
        for start in range(0, len(inputs), ROWS):
            block = inputs[start : start + ROWS]
            if isinstance(core, EmbeddingProcessor):
                ids = torch.arange(start, start + len(block), device=block.device)
                outputs.append(core(block, INFERENCE_SEED, ids))
            else:
                outputs.append(core(block))
    core.train(was_training)
    return torch.cat(outputs)
