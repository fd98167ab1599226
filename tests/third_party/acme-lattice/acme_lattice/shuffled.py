from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core_engine import ReshapeContext


class ShuffledReshape(nn.Module):
    """The embedding, zeros after its end, in an order that the seed decides. Nothing is learned."""

    place: Tensor
    order: Tensor
    input_cells: Tensor
    output_cells: Tensor

    def __init__(self, context: ReshapeContext, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.size = context.size
        self.output_dim = context.output_dim
        generator = torch.Generator().manual_seed(context.seed)
        place = torch.randperm(context.cells * channels, generator=generator)
        for name, tensor in {
            "place": place,
            "order": place.argsort(),
            "input_cells": self._cells(place[: context.input_dim]),
            "output_cells": self._cells(place[: context.output_dim]),
        }.items():
            self.register_buffer(name, tensor, persistent=False)

    def _cells(self, place: Tensor) -> Tensor:
        cells = torch.zeros(self.size, dtype=torch.bool)
        cells.view(-1)[place // self.channels] = True
        return cells

    def fit(self, inputs: Tensor, targets: Tensor) -> None:
        """Nothing depends on the data."""

    def to_lattice(self, embedding: Tensor) -> Tensor:
        values = F.pad(embedding, (0, len(self.place) - embedding.shape[1]))
        return values[:, self.order].reshape(len(embedding), *self.size, self.channels)

    def from_lattice(self, values: Tensor) -> Tensor:
        return values.flatten(1)[:, self.place[: self.output_dim]]
