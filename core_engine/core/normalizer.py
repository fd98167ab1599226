"""Centring and scaling on both sides of the lattice."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core_engine.errors import DataError
from core_engine.memory.tables import blocks

#: Centred data whose RMS is below this share of the uncentred RMS is rounding noise of constant float32 embeddings.
_SMALLEST_SHARE = 1e-6


class Normalizer(nn.Module):
    """Maps embeddings to zero mean and a root mean square of 1 over all rows and dimensions, and outputs back.

    Buffers, in the module's dtype: ``input_mean [D_in]``, ``target_mean [D_out]``, ``input_scale []`` and
    ``target_scale []``. One scale for all dimensions, so that angles between centred embeddings are kept. Until
    :meth:`fit`, means are 0 and scales are 1.
    """

    input_mean: Tensor
    input_scale: Tensor
    target_mean: Tensor
    target_scale: Tensor

    def __init__(self, input_dim: int, output_dim: int) -> None:
        super().__init__()
        self.register_buffer("input_mean", torch.zeros(input_dim))
        self.register_buffer("input_scale", torch.ones(()))
        self.register_buffer("target_mean", torch.zeros(output_dim))
        self.register_buffer("target_scale", torch.ones(()))

    def fit(self, inputs: Tensor, targets: Tensor, *, centre: bool = True) -> None:
        """From the training split: inputs ``[n, D_in]``, targets ``[n, D_out]``. Without ``centre`` the means are 0.

        Computed in float64. DataError where the shapes are others, a value is not finite, or all rows are equal.
        """
        fitted = [
            _mean_and_scale("input", inputs, len(self.input_mean), centre),
            _mean_and_scale("target", targets, len(self.target_mean), centre),
        ]
        (input_mean, input_scale), (target_mean, target_scale) = fitted
        self.input_mean.copy_(input_mean)
        self.input_scale.copy_(input_scale)
        self.target_mean.copy_(target_mean)
        self.target_scale.copy_(target_scale)

    def normalise_input(self, embedding: Tensor) -> Tensor:
        """``[B, D_in] -> [B, D_in]``, in the module's dtype whatever the input's."""
        return (embedding.to(self.input_mean.dtype) - self.input_mean) / self.input_scale

    def normalise_target(self, embedding: Tensor) -> Tensor:
        """``[B, D_out] -> [B, D_out]``: the inverse of :meth:`denormalise_output`."""
        return (embedding.to(self.target_mean.dtype) - self.target_mean) / self.target_scale

    def denormalise_output(self, values: Tensor) -> Tensor:
        """``[B, D_out] -> [B, D_out]`` in the space of the targets, in the module's dtype."""
        return torch.addcmul(self.target_mean, values.to(self.target_mean.dtype), self.target_scale)


def _mean_and_scale(side: str, embeddings: Tensor, dim: int, centre: bool) -> tuple[Tensor, Tensor]:
    """float64 ``[dim]`` and ``[]`` on the CPU."""
    if embeddings.dim() != 2 or embeddings.shape[1] != dim:
        raise DataError(f"{side} embeddings are {list(embeddings.shape)}; the core needs [n, {dim}]")
    if len(embeddings) == 0:
        raise DataError(f"there are no {side} embeddings to fit the core to")
    total = torch.zeros(dim, dtype=torch.float64)
    squares = torch.zeros((), dtype=torch.float64)
    for block in blocks(embeddings):
        rows = embeddings[block].detach().cpu().double()
        finite = rows.isfinite().all(dim=1)
        if not finite.all():
            row = block.start + int(finite.logical_not().nonzero()[0])
            raise DataError(f"{side} embedding of training row {row} (from 0) holds NaN or infinity")
        total += rows.sum(0)
        squares += rows.square().sum()
    mean = total / len(embeddings) if centre else torch.zeros_like(total)
    centred = torch.zeros((), dtype=torch.float64)
    for block in blocks(embeddings):
        centred += (embeddings[block].detach().cpu().double() - mean).square().sum()
    if centred <= _SMALLEST_SHARE**2 * squares:
        what = "equal" if centre else "zero"
        raise DataError(
            f"all {len(embeddings)} {side} embeddings of the training split are {what}: there is nothing to learn "
            f"from; check the data and the teacher"
        )
    return mean, (centred / embeddings.numel()).sqrt()
