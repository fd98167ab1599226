from __future__ import annotations

import pytest
import torch
from core_engine_teachers.pooling import POOLING
from hypothesis import given
from hypothesis import strategies as st
from reference import pool

LENGTHS = st.lists(st.integers(1, 7), min_size=1, max_size=5)


@pytest.mark.parametrize("name", ["mean", "cls", "last", "max", "mean_sqrt_len", "weighted_mean"])
@given(lengths=LENGTHS, left=st.booleans(), seed=st.integers(0, 1000))
def test_pooling_sees_the_texts_own_tokens_only(name: str, lengths: list[int], left: bool, seed: int) -> None:
    width, dim = max(lengths) + 1, 3
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.full((len(lengths), width, dim), float("nan"))
    mask = torch.zeros(len(lengths), width, dtype=torch.bool)
    expected = []
    for i, length in enumerate(lengths):
        tokens = torch.randn(length, dim, generator=generator)
        place = slice(width - length, width) if left else slice(0, length)
        hidden[i, place], mask[i, place] = tokens, True
        expected.append(pool(list(tokens.double()), name).float())
    torch.testing.assert_close(POOLING[name](hidden, mask), torch.stack(expected))
