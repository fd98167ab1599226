"""Whether a model gives a text the same hidden states with padding beside it and without."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from core_engine.errors import TeacherError
from core_engine_teachers.forward import TorchForward
from core_engine_teachers.options import EncoderOptions, Padding

#: Greatest relative difference that counts as rounding, in float32 and in half precision.
_ROUNDING, _ROUNDING_HALF = 1e-4, 0.1
_TOKENS = 4
_PADDING = 16


def require_padding_is_harmless(forward: TorchForward, folder: Path, options: EncoderOptions, max_length: int) -> None:
    """TeacherError unless a few tokens give the same hidden states alone and beside padding on the side asked for.

    They do not where a model counts positions itself from the left, looks across the mask (convolutions, landmarks), or
    scales positions by the length of the batch. Which ones do is found out by trying, since it differs between versions
    of transformers and with code that comes with a model. Where each text is a batch of its own, nothing is padded.
    """
    if options.batch_tokens == 1:
        return
    tokens = min(_TOKENS, max_length, forward.vocabulary)
    # Positions may be scaled in another way for batches longer than this.
    scaled = getattr(forward.model.config, "original_max_position_embeddings", None) or 0
    padding = min(max(_PADDING, scaled), max_length - tokens)
    if padding < 1:
        return  # a text of full length is never padded, and a shorter one hardly
    changed = _change(forward, tokens, padding, options.padding)
    if changed is None:
        return
    remedy = "batch_tokens: 1, which encodes one text at a time"
    if options.padding == "left" and _change(forward, tokens, padding, "right") is None:
        remedy = "padding: right"
    raise TeacherError(
        f"{folder}: padding on the {options.padding} changes this model's hidden states (by {changed:.0%}), so that "
        f"embeddings would depend on which texts are encoded together: set {remedy}"
    )


def _change(forward: TorchForward, tokens: int, padding: int, side: Padding) -> float | None:
    """The relative difference that padding makes; None where it is rounding."""
    ids = torch.arange(forward.vocabulary - tokens, forward.vocabulary).unsqueeze(0)
    ones, zeros = torch.ones_like(ids), torch.zeros(1, padding, dtype=torch.long)
    filling = ids[:, :1].expand(1, padding)
    left = side == "left"
    filled = torch.cat([filling, ids] if left else [ids, filling], 1)
    mask = torch.cat([zeros, ones] if left else [ones, zeros], 1)
    with torch.inference_mode():
        alone = _states(forward, ids, ones)
        beside = _states(forward, filled, mask)
        beside = beside[:, padding:] if left else beside[:, :tokens]
    rounding = _ROUNDING if alone.dtype == torch.float32 else _ROUNDING_HALF
    size = float(alone.float().norm())
    if not 0 < size < float("inf"):
        return None  # no use either way, which is told with the first text
    difference = float((beside.float() - alone.float()).norm()) / size
    return None if difference <= rounding else difference


def _states(forward: TorchForward, ids: Tensor, mask: Tensor) -> Tensor:
    """``[1, T, D]``, on the CPU."""
    inputs = {"input_ids": ids, "attention_mask": mask}
    if "token_type_ids" in forward.input_names:
        inputs["token_type_ids"] = torch.zeros_like(ids)
    return forward(inputs).cpu()
