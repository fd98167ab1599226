"""One split as tensors: what training, evaluation and baselines work on."""

from __future__ import annotations

import torch
from attrs import field, frozen
from torch import Tensor


def _shape(tensor: Tensor) -> str:
    return f"{list(tensor.shape)}"


@frozen(eq=False)
class Pairs:
    """``n`` rows of input and target embeddings on one device.

    inputs ``[n, D_in]``, targets ``[n, D_out]``: float32. target_ids: int64 ``[n]``, equal where the target texts are
    equal (so that a duplicate of the answer is never counted as a wrong one). group_ids: int64 ``[n]`` or None where
    the data names no groups. In an autoencoder, ``targets`` holds the clean input.
    """

    inputs: Tensor = field(repr=_shape)
    targets: Tensor = field(repr=_shape)
    target_ids: Tensor = field(repr=False)
    group_ids: Tensor | None = field(default=None, repr=False)

    @target_ids.default
    def _each_target_its_own(self) -> Tensor:
        return torch.arange(len(self.targets), device=self.targets.device)

    def __attrs_post_init__(self) -> None:
        lengths = {len(self.inputs), len(self.targets), len(self.target_ids)}
        if self.group_ids is not None:
            lengths.add(len(self.group_ids))
        if len(lengths) != 1:
            raise ValueError(f"inputs, targets, target_ids and group_ids must have one length, not {sorted(lengths)}")

    def __len__(self) -> int:
        return len(self.inputs)

    def to(self, device: torch.device | str) -> Pairs:
        return Pairs(
            self.inputs.to(device),
            self.targets.to(device),
            self.target_ids.to(device),
            None if self.group_ids is None else self.group_ids.to(device),
        )
