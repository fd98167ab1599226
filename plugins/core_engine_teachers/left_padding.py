"""Whether a model gives the same hidden states when its texts are padded on the left."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from core_engine.errors import TeacherError
from core_engine_teachers.forward import TorchForward

#: Greatest relative difference that counts as rounding, in float32 and in half precision.
_ROUNDING, _ROUNDING_HALF = 1e-4, 0.1
_TOKENS = 4
_PADDING = 16


def require_left_padding(forward: TorchForward, folder: Path, max_length: int) -> None:
    """TeacherError unless a few tokens give the same hidden states alone and behind padding.

    They do not where a model counts positions itself from the left, or does not know of padding. Which ones do is
    found out by trying, since it differs between versions of transformers and with code that comes with a model.
    """
    tokens = min(_TOKENS, max_length, forward.vocabulary)
    padding = min(_PADDING, max_length - tokens)
    if padding < 1:
        return  # a text of full length is never padded, and a shorter one hardly
    ids = torch.arange(forward.vocabulary - tokens, forward.vocabulary).unsqueeze(0)
    filled = torch.cat([ids[:, :1].expand(1, padding), ids], 1)
    mask = torch.cat([torch.zeros(1, padding, dtype=torch.long), torch.ones_like(ids)], 1)
    with torch.inference_mode():
        alone = _states(forward, ids, torch.ones_like(ids))
        behind = _states(forward, filled, mask)[:, padding:]
    rounding = _ROUNDING if alone.dtype == torch.float32 else _ROUNDING_HALF
    difference = float((behind.float() - alone.float()).norm() / alone.float().norm())
    if not difference <= rounding:
        raise TeacherError(
            f"{folder}: padding: left changes this model's hidden states (by {difference:.0%}), because it counts "
            f"positions from the left by itself: set padding: right"
        )


def _states(forward: TorchForward, ids: Tensor, mask: Tensor) -> Tensor:
    """``[1, T, D]``, on the CPU."""
    inputs = {"input_ids": ids, "attention_mask": mask}
    if "token_type_ids" in forward.input_names:
        inputs["token_type_ids"] = torch.zeros_like(ids)
    return forward(inputs).cpu()
