"""From one hidden state per token to one embedding per text.

Each takes ``hidden`` (float ``[B, T, D]``) and ``mask`` (bool ``[B, T]``, True at the text's tokens, at least one
in each row) and gives ``[B, D]``. Padding may stand on either side, and what stands there, even NaN, has no part.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from core_engine_teachers.options import Pooling


def masked_mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """sum_t m_t h_t / sum_t m_t (Reimers & Gurevych, 2019)."""
    return _masked(hidden, mask, 0).sum(1) / mask.sum(1, keepdim=True)


def mean_sqrt_len(hidden: Tensor, mask: Tensor) -> Tensor:
    """sum_t m_t h_t / sqrt(sum_t m_t), as Sentence Transformers has it."""
    return _masked(hidden, mask, 0).sum(1) / mask.sum(1, keepdim=True).sqrt()


def weighted_mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """sum_t w_t h_t / sum_t w_t with w_t = 1, 2, 3 ... at the text's tokens (SGPT: Muennighoff, 2022)."""
    weights = (mask.cumsum(1) * mask).to(hidden.dtype)
    return (_masked(hidden, mask, 0) * weights.unsqueeze(-1)).sum(1) / weights.sum(1, keepdim=True)


def largest(hidden: Tensor, mask: Tensor) -> Tensor:
    """The largest value of each dimension."""
    return _masked(hidden, mask, -math.inf).amax(1)


def first_token(hidden: Tensor, mask: Tensor) -> Tensor:
    """The hidden state of each text's first token (BERT's [CLS])."""
    return _take(hidden, mask.int().argmax(1))


def last_token(hidden: Tensor, mask: Tensor) -> Tensor:
    """The hidden state of each text's last token: the only one of a causal model that has seen the whole text."""
    return _take(hidden, mask.shape[1] - 1 - mask.flip(1).int().argmax(1))


def _masked(hidden: Tensor, mask: Tensor, value: float) -> Tensor:
    return hidden.masked_fill(~mask.unsqueeze(-1), value)


def _take(hidden: Tensor, position: Tensor) -> Tensor:
    return hidden[torch.arange(len(hidden), device=hidden.device), position]


POOLING: dict[Pooling, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": masked_mean,
    "cls": first_token,
    "last": last_token,
    "max": largest,
    "mean_sqrt_len": mean_sqrt_len,
    "weighted_mean": weighted_mean,
}
