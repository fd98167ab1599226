"""Any module that updates the lattice once, as a kernel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core_engine.core.cell_kernel import CellKernel
from core_engine.errors import EngineError


class CellLoop(CellKernel):
    """Kernel that applies ``cell(state, drive) -> state`` T times.

    ``state``: ``[B, X, Y, Z, C]`` in and out; ``drive``: ``[B, X, Y, Z, E]``, the same at every step. The new state
    is kept in the dtype of the old one, so a cell may compute in lower precision (autocast). The cell is given no
    seed: for noise that does not depend on the batch, write a CellKernel of your own and draw with
    :func:`core_engine.core.noise.normal`.
    """

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def advance(
        self, state: Tensor, drive: Tensor, first_step: int, steps: int, seed: int, sample_ids: Tensor
    ) -> Tensor:
        """State after ``steps`` steps. EngineError where the cell returns anything but a state of the same shape."""
        for _ in range(steps):
            new = self.cell(state, drive)
            if not isinstance(new, torch.Tensor) or new.shape != state.shape:
                got = f"a tensor {list(new.shape)}" if isinstance(new, torch.Tensor) else type(new).__name__
                raise EngineError(
                    f"cell {type(self.cell).__name__} returned {got} for a state {list(state.shape)} [B, X, Y, Z, C] "
                    f"and a drive {list(drive.shape)}; it must return the new state, of the same shape as the old one"
                )
            state = new.to(state.dtype)
        return state
