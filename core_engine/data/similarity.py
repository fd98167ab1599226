"""The cosine of inputs and targets."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from core_engine.memory.tables import blocks


def cosine_of_rows(inputs: Tensor, targets: Tensor) -> Tensor:
    """float64 ``[n]``, of ``[n, D]`` with ``[n, D]``."""
    found = [F.cosine_similarity(inputs[rows].double(), targets[rows].double()) for rows in blocks(inputs)]
    return torch.cat(found)
