"""What all losses do to stay finite."""

from __future__ import annotations

import torch
from torch import Tensor

#: A row shorter than this is divided by this instead of by its length: a zero row has cosine 0 with everything, and a
#: gradient that turns it to its target and is at most 1 / EPS long (more than float16 can hold). Rows
#: longer than 1e18 overflow where float32 squares them.
EPS = 1e-6


def at_least_float32(x: Tensor) -> Tensor:
    """float16 and bfloat16 to float32, whose sums over rows and dimensions they cannot hold; others as they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
