"""Gaussian noise on embeddings, in units that mean the same for every teacher."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from core_engine.data.pairs import Pairs
from core_engine.randomness import generator


def noise_std(inputs: Tensor, relative: float) -> float:
    """Standard deviation per dimension of noise whose expected norm is ``relative`` times the RMS norm of ``inputs``
    ``[n, D]``.

    An input and its noisy copy then have a cosine of about 1 / sqrt(1 + relative^2).
    """
    rms = inputs.double().square().sum(-1).mean().sqrt().item()
    return float(relative * rms / math.sqrt(inputs.shape[-1]))


def with_noise(pairs: Pairs, train: Pairs, relative: float, seed: int, purpose: str) -> Pairs:
    """``pairs`` with noise drawn once on the inputs, scaled by the training inputs; the targets stay clean."""
    if not relative:
        return pairs
    source = generator(seed, "noise on", purpose)
    drawn = torch.randn(pairs.inputs.shape, generator=source).to(pairs.inputs)
    noisy = pairs.inputs + noise_std(train.inputs, relative) * drawn
    return Pairs(noisy, pairs.targets, pairs.target_ids, pairs.group_ids)
