"""From one hidden state per token to one embedding per text.

Each takes ``hidden`` (float ``[B, T, D]``) and ``mask`` (bool ``[B, T]``, True at the text's tokens, at least one
in each row) and gives ``[B, D]``. Padding may stand on either side.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from core_engine_teachers.options import Pooling


def masked_mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """sum_t m_t h_t / sum_t m_t (Reimers & Gurevych, 2019); what stands at padding, even NaN, has no part in it."""
    kept = hidden.masked_fill(~mask.unsqueeze(-1), 0)
    return kept.sum(1) / mask.sum(1, keepdim=True)


def first_token(hidden: Tensor, mask: Tensor) -> Tensor:
    """The hidden state of each text's first token (BERT's [CLS])."""
    return _take(hidden, mask.int().argmax(1))


def last_token(hidden: Tensor, mask: Tensor) -> Tensor:
    """The hidden state of each text's last token: the only one of a causal model that has seen the whole text."""
    return _take(hidden, mask.shape[1] - 1 - mask.flip(1).int().argmax(1))


def _take(hidden: Tensor, position: Tensor) -> Tensor:
    return hidden[torch.arange(len(hidden), device=hidden.device), position]


POOLING: dict[Pooling, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": masked_mean,
    "cls": first_token,
    "last": last_token,
}
