"""Runs a trained core over many rows."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from core_engine.core.processor import EmbeddingProcessor
from core_engine.memory.tables import new_table
from core_engine.training.ranks import Ranks

#: Rows at a time: enough to keep a device busy. Fewer where that many lattices hold more than ``_VALUES`` floats.
ROWS = 512
_VALUES = 2**24

#: Key of the cells' noise wherever a core is used rather than trained, so that its figures and its use agree.
INFERENCE_SEED = 0


def apply_core(core: nn.Module, inputs: Tensor, ranks: Ranks | None = None) -> Tensor:
    """``[n, D_in] -> [n, D_out]``, without gradients, in blocks. Row i draws the noise of sample i.

    ``ranks``: processes to share the rows with, of which each is given all outputs.
    """
    if ranks is None or ranks.size == 1:
        return _apply(core, inputs, 0, len(inputs))
    share = ranks.computed(len(inputs))
    return ranks.gather(_apply(core, inputs, share.start, share.stop), len(inputs))


def _apply(core: nn.Module, inputs: Tensor, first: int, last: int) -> Tensor:
    was_training = core.training
    core.eval()
    rows = ROWS
    if isinstance(core, EmbeddingProcessor):
        rows = max(1, min(ROWS, _VALUES // (math.prod(core.size) * core.channels)))
    outputs: Tensor | None = None
    with torch.no_grad():
        for start in range(first, last, rows):
            block = inputs[start : min(last, start + rows)]
            if isinstance(core, EmbeddingProcessor):
                ids = torch.arange(start, start + len(block), device=block.device)
                output = core(block, INFERENCE_SEED, ids)
            else:
                output = core(block)
            if outputs is None:
                outputs = new_table(last - first, output.shape[1], output)
            outputs[start - first : start - first + len(block)] = output
    core.train(was_training)
    assert outputs is not None, "there is at least one row"  # noqa: S101
    return outputs
