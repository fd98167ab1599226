"""One split as tensors: what training, evaluation and baselines work on."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import torch
from attrs import Factory, field, frozen
from torch import Tensor

from core_engine.contracts.objects import Batch
from core_engine.memory.tables import take


def _shape(tensor: Tensor) -> str:
    return f"{list(tensor.shape)}"


@frozen(eq=False)
class Pairs:
    """``n`` rows of input and target embeddings on one device.

    inputs ``[n, D_in]``, targets ``[n, D_out]``: float32. target_ids: int64 ``[n]``, equal where the target texts are
    equal (so that a duplicate of the answer is never counted as a wrong one). group_ids: int64 ``[n]`` or None where
    the data names no groups. In an autoencoder, ``targets`` holds the clean input. difficulty: float32 ``[n]`` as in
    :class:`core_engine.Batch`, or None. further: the targets by each further teacher, float32 ``[n, D_k]``, by name.
    """

    inputs: Tensor = field(repr=_shape)
    targets: Tensor = field(repr=_shape)
    target_ids: Tensor = field(repr=False)
    group_ids: Tensor | None = field(default=None, repr=False)
    difficulty: Tensor | None = field(default=None, repr=False)
    further: Mapping[str, Tensor] = field(default=Factory(dict), repr=False)

    @target_ids.default
    def _each_target_its_own(self) -> Tensor:
        return torch.arange(len(self.targets), device=self.targets.device)

    def __attrs_post_init__(self) -> None:
        lengths = {len(self.inputs), len(self.targets), len(self.target_ids)}
        optional = [tensor for tensor in (self.group_ids, self.difficulty) if tensor is not None]
        lengths.update(map(len, [*optional, *self.further.values()]))
        if len(lengths) != 1:
            raise ValueError(f"all tensors of a split must have one length, not {sorted(lengths)}")

    def __len__(self) -> int:
        return len(self.inputs)

    def to(self, device: torch.device | str) -> Pairs:
        return Pairs(
            self.inputs.to(device),
            self.targets.to(device),
            self.target_ids.to(device),
            None if self.group_ids is None else self.group_ids.to(device),
            None if self.difficulty is None else self.difficulty.to(device),
            {name: rows.to(device) for name, rows in self.further.items()},
        )

    def with_targets(self, order: Tensor) -> Pairs:
        """Row i with the target of row ``order[i]``."""
        further = {name: take(rows, order) for name, rows in self.further.items()}
        return attrs.evolve(self, targets=take(self.targets, order), target_ids=self.target_ids[order], further=further)

    def whole(self, *, epoch: int = 0, progress: float = 1.0) -> Batch:
        """All rows, without a copy of them."""
        rows = torch.arange(len(self), device=self.inputs.device)
        groups = rows if self.group_ids is None else self.group_ids
        return Batch(rows, self.inputs, self.target_ids, groups, epoch, progress, further=self.further)

    def batch(self, rows: Tensor, *, epoch: int = 0, progress: float = 1.0) -> Batch:
        """What a loss may know of these rows, int64 ``[B]``, but for what training alone has: difficulty and mined
        negatives. A row without a group is a group of its own.
        """
        groups = rows if self.group_ids is None else self.group_ids[rows]
        further = {name: values[rows] for name, values in self.further.items()}
        return Batch(rows, self.inputs[rows], self.target_ids[rows], groups, epoch, progress, further=further)
