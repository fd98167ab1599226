"""Rows and ways of looking at tensors that tests of evaluation share."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from core_engine.data.pairs import Pairs


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pairs_with_duplicates(n: int = 80, dim: int = 16, distinct: int = 50) -> Pairs:
    """Targets off centre, ids neither dense nor in order of first occurrence."""
    texts = normal(0, distinct, dim) + 0.7
    which = torch.randint(distinct, (n,), generator=torch.Generator().manual_seed(1))
    return Pairs(normal(2, n, dim), texts[which], 1000 - 3 * which, torch.arange(n) % 9)


class Largest(TorchDispatchMode):
    """Records the largest tensor that any operation makes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self.numel = max(self.numel, tensor.numel())
        return result
