"""Batches under a token budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def token_batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Indices of texts in batches whose padded size (rows x longest row) is at most ``budget`` tokens.

    Longest first, so that neighbours need little padding and a batch that does not fit in memory fails at once.
    A text longer than the budget is a batch of its own.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    start = 0
    while start < len(order):
        rows = max(1, budget // lengths[order[start]])
        yield order[start : start + rows]
        start += rows
