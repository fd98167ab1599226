"""Random streams keyed by what they are for, never the global generator: a resumed run draws what it would have
drawn.
"""

from __future__ import annotations

import hashlib

import torch


def derive_seed(seed: int, *keys: str | int) -> int:
    """A 63-bit seed for one purpose, such as ``derive_seed(recipe.seed, "order", epoch)``."""
    text = "\0".join(str(part) for part in (seed, *keys))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1


def generator(seed: int, *keys: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator of its own for one purpose."""
    return torch.Generator(device=device).manual_seed(derive_seed(seed, *keys))
