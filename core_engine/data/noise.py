"""Gaussian noise on embeddings, in units that mean the same for every teacher."""

from __future__ import annotations

import math

import attrs
import torch
from torch import Tensor

from core_engine.data.pairs import Pairs
from core_engine.memory.tables import mapped, sum_of_squares
from core_engine.randomness import generator


def noise_std(inputs: Tensor, relative: float) -> float:
    """Standard deviation per dimension of noise whose expected norm is ``relative`` times the RMS norm of ``inputs``
    ``[n, D]``.

    An input and its noisy copy then have a cosine of about 1 / sqrt(1 + relative^2).
    """
    return relative * rms_norm(inputs) / math.sqrt(inputs.shape[-1])


def rms_norm(inputs: Tensor) -> float:
    """Root mean square of the norms of ``[n, D]``."""
    return math.sqrt(float(sum_of_squares(inputs)) / len(inputs))


def with_noise(pairs: Pairs, std: float, seed: int, purpose: str) -> Pairs:
    """``pairs`` with noise of that standard deviation drawn once on the inputs; the targets stay clean."""
    if not std:
        return pairs
    source = generator(seed, "noise on", purpose)

    def noisy(rows: Tensor) -> Tensor:
        return rows + std * torch.randn(rows.shape, generator=source).to(rows)

    return attrs.evolve(pairs, inputs=mapped(noisy, pairs.inputs, pairs.inputs[0]))
