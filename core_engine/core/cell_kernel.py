"""A kernel that computes its rollout itself, in plain PyTorch, or has a backend compute it."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from core_engine.contracts.backend import REFERENCE, Backend
from core_engine.errors import EngineError


class CellKernel(nn.Module, ABC):
    """Base class of kernels with a reference rollout, :meth:`advance`.

    ``spec``: data that says which cell it is, for backends; None where no backend could know it. ``backend``: what
    computes the rollout, None for the reference, and its name; :func:`core_engine.use_backend` sets it. ``memory``:
    what training keeps for the backward pass. None: whatever is fastest, for the reference every intermediate result.
    k: every k-th state; the other states, and all that is computed within a step, are computed again. Neither changes
    the parameters, so a checkpoint moves between backends, nor the result beyond rounding.
    """

    spec: object = None
    backend: Backend | None = None
    backend_name: str = REFERENCE
    _memory: int | None = None

    @property
    def memory(self) -> int | None:
        return self._memory

    @memory.setter
    def memory(self, value: int | None) -> None:
        """EngineError for anything but None and whole numbers from 1 on."""
        if value is not None and (type(value) is not int or value < 1):
            raise EngineError(
                f"memory is None, or a number k of at least 1 to keep every k-th state (1 is a recipe's 'states'), "
                f"not {value!r}"
            )
        self._memory = value

    @abstractmethod
    def advance(
        self, state: Tensor, drive: Tensor, first_step: int, steps: int, seed: int, sample_ids: Tensor
    ) -> Tensor:
        """The reference: ``state [B, X, Y, Z, C]``, which enters step ``first_step``, after ``steps`` steps.

        Whatever is random is keyed by (seed, sample, number of the step, element), see :mod:`core_engine.core.noise`.
        """

    def forward(self, state: Tensor, drive: Tensor, steps: int, seed: int, sample_ids: Tensor) -> Tensor:
        """State ``[B, X, Y, Z, C]`` after ``steps`` steps, in the dtype of ``state``; drive ``[B, X, Y, Z, E]``."""
        if self.backend is not None:
            parameters = dict(self.named_parameters())
            return self.backend.rollout(self.spec, parameters, state, drive, steps, seed, sample_ids, self.memory)
        if self.memory is None:
            return self.advance(state, drive, 0, steps, seed, sample_ids)
        for first in range(0, steps, self.memory):
            some = min(self.memory, steps - first)
            # All that is random is keyed, so the global generators need not be put back.
            state = checkpoint(
                self.advance, state, drive, first, some, seed, sample_ids, use_reentrant=False, preserve_rng_state=False
            )
        return state
