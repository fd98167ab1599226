"""What the rows of a batch are to one another."""

from __future__ import annotations

from torch import Tensor


def without_diagonal(matrix: Tensor) -> Tensor:
    """What each row has with the others: ``[B, B] -> [B, B - 1]``."""
    rows = len(matrix)
    return matrix.flatten()[1:].view(rows - 1, rows + 1)[:, :-1].reshape(rows, rows - 1)
