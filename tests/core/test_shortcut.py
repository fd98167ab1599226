from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor

from core_engine.core.low_rank import LowRank
from core_engine.core.shortcut import Shortcut


def rows(n: int, dim: int, seed: int = 0) -> Tensor:
    """Of unequal variance along axes that are not the coordinates'."""
    source = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(dim, dim, generator=source)).Q
    values = torch.randn(n, dim, generator=source) * torch.linspace(2, 0.1, dim) @ turn
    return values - values.mean(0)


@given(st.integers(2, 12), st.integers(0, 5), st.integers(1, 12))
def test_starts_as_the_identity_where_dimensions_agree(dim: int, rank: int, width: int) -> None:
    x = rows(40, dim)
    shortcut = Shortcut(dim, dim, rank, width, seed=0)
    torch.testing.assert_close(shortcut(x), x)  # before it is fitted, too
    shortcut.fit(x, rows(40, dim, seed=1))
    torch.testing.assert_close(shortcut(x), x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("output_dim", [5, 14])
def test_starts_as_the_ridge_regression_where_they_differ(output_dim: int) -> None:
    x = rows(60, 9)
    y = x @ torch.randn(9, output_dim, generator=torch.Generator().manual_seed(3)) + rows(60, output_dim, seed=1)
    shortcut = Shortcut(9, output_dim, 2, 9, seed=0)
    shortcut.fit(x, y)
    squares = (x.T @ x).double()
    penalty = 0.1 * squares.diagonal().mean() * torch.eye(9)
    expected = x.double() @ torch.linalg.solve(squares + penalty, (x.T @ y).double())
    with torch.no_grad():
        torch.testing.assert_close(shortcut(x).double(), expected, rtol=1e-3, atol=1e-4)


def test_gains_are_of_the_principal_axes_largest_first() -> None:
    x = rows(200, 6)
    shortcut = Shortcut(6, 6, 0, 6, seed=0)
    shortcut.fit(x, x)
    _, _, axes = np.linalg.svd(x.numpy(), full_matrices=False)
    with torch.no_grad():
        shortcut.gains[0] = -1 / 40  # nothing of the first axis is left
        without = shortcut(x)
    first = torch.from_numpy(axes[0])
    torch.testing.assert_close(without, x - (x @ first).outer(first), rtol=1e-3, atol=1e-4)


def test_the_low_rank_map_joins_the_largest_axes_alone() -> None:
    x = rows(200, 6)
    shortcut = Shortcut(6, 6, rank=2, width=3, seed=0)
    shortcut.fit(x, x)
    assert shortcut.low_rank is not None
    with torch.no_grad():
        shortcut.low_rank.up.add_(1)
        change = (shortcut(x) - x) @ shortcut.axes.T
        assert change[:, :3].abs().min(0).values.max() > 1e-4
        torch.testing.assert_close(change[:, 3:], torch.zeros(200, 3), rtol=0, atol=1e-5)


def test_the_offset_is_added_and_everything_learned_counts() -> None:
    shortcut = Shortcut(4, 7, rank=2, width=3, seed=0)
    assert sum(parameter.numel() for parameter in shortcut.parameters()) == 4 + 7 + 2 * (3 + 3)
    with torch.no_grad():
        before = shortcut(torch.ones(1, 4))
        shortcut.offset[2] = 0.5
        change = (shortcut(torch.ones(1, 4)) - before).squeeze(0)
    torch.testing.assert_close(change, torch.tensor([0, 0, 3.0, 0, 0, 0, 0]))


def test_the_axes_are_the_same_whichever_way_the_solver_points_them() -> None:
    x = rows(100, 8)
    one, other = Shortcut(8, 8, 0, 8, seed=0), Shortcut(8, 8, 0, 8, seed=0)
    one.fit(x, x)
    other.fit(-x, -x)
    torch.testing.assert_close(one.axes, other.axes, rtol=1e-4, atol=1e-5)
    assert (one.axes.gather(1, one.axes.abs().argmax(1, keepdim=True)) > 0).all()


def test_the_low_rank_map_is_drawn_by_its_seed() -> None:
    assert torch.equal(LowRank(5, 4, 2, seed=3).down, LowRank(5, 4, 2, seed=3).down)
    assert not torch.equal(LowRank(5, 4, 2, seed=3).down, LowRank(5, 4, 2, seed=4).down)
    assert LowRank(500, 4, 200, seed=3).down.std().item() == pytest.approx(500**-0.5, rel=0.02)
    assert not LowRank(500, 4, 200, seed=3).up.any()
