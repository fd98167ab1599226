"""The most recent targets, as further wrong ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MemoryBank(nn.Module):
    """A queue of ``size`` targets and their ids (the queue of MoCo, He et al., 2020; here targets do not age, since
    the teacher is frozen). Its buffers are of one shape throughout, and checkpoints keep them.
    """

    targets: Tensor
    ids: Tensor
    filled: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("targets", torch.zeros(size, dim))
        self.register_buffer("ids", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("filled", torch.zeros(size, dtype=torch.bool))

    @torch.no_grad()
    def push(self, targets: Tensor, ids: Tensor) -> None:
        """Newest first; the oldest fall out."""
        size = len(self.ids)
        self.targets.copy_(torch.cat([targets.to(self.targets.dtype), self.targets])[:size])
        self.ids.copy_(torch.cat([ids, self.ids])[:size])
        self.filled.copy_(torch.cat([torch.ones_like(ids, dtype=torch.bool), self.filled])[:size])
