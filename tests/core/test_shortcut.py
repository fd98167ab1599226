from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor

from core_engine.core.low_rank import LowRank
from core_engine.core.shortcut import Axes, Shortcut
from core_engine.errors import DataError


def rows(n: int, dim: int, seed: int = 0) -> Tensor:
    """Of unequal variance along axes that are not the coordinates'."""
    source = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(dim, dim, generator=source)).Q
    values = torch.randn(n, dim, generator=source) * torch.linspace(2, 0.1, dim) @ turn
    return values - values.mean(0)


@given(st.integers(2, 12), st.integers(0, 5), st.integers(1, 12), st.sampled_from(["inputs", "differences"]))
def test_starts_as_the_identity_where_dimensions_agree(dim: int, rank: int, width: int, axes: Axes) -> None:
    x = rows(40, dim)
    shortcut = Shortcut(dim, dim, rank, width, axes, seed=0)
    torch.testing.assert_close(shortcut(x), x)  # before it is fitted, too
    shortcut.fit(x, rows(40, dim, seed=1))
    torch.testing.assert_close(shortcut(x), x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("output_dim", [5, 14])
@pytest.mark.parametrize("axes", ["inputs", "differences"])
def test_starts_as_the_rotation_to_the_targets_where_they_differ(output_dim: int, axes: Axes) -> None:
    x = rows(60, 9) / 1.1
    turn = torch.linalg.qr(torch.randn(14, 9, generator=torch.Generator().manual_seed(3))).Q[:output_dim].T
    y = x @ turn * (output_dim / 9) ** 0.5
    shortcut = Shortcut(9, output_dim, 2, 9, axes, seed=0)
    shortcut.fit(x, y + 1e-3 * rows(60, output_dim, seed=1))
    found = shortcut(x)
    if output_dim > 9:  # then nothing of the inputs is lost, and a turn has made the targets
        torch.testing.assert_close(found, y, rtol=0, atol=0.01)
    left, _, right = np.linalg.svd((x.T @ y).double().numpy(), full_matrices=False)
    expected = x.double() @ torch.from_numpy(left @ right) * (output_dim / 9) ** 0.5
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=0.01)


def test_gains_are_of_the_principal_axes_largest_first() -> None:
    x = rows(200, 6)
    shortcut = Shortcut(6, 6, 0, 6, "inputs", seed=0)
    shortcut.fit(x, x)
    _, _, axes = np.linalg.svd(x.numpy(), full_matrices=False)
    with torch.no_grad():
        shortcut.gains[0] = -1 / 40  # nothing of the first axis is left
        without = shortcut(x)
    first = torch.from_numpy(axes[0])
    torch.testing.assert_close(without, x - (x @ first).outer(first), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("output_dim", [6, 9])
def test_the_axes_of_differences_are_those_of_targets_less_aligned_inputs(output_dim: int) -> None:
    x, y = rows(200, 6), rows(200, output_dim, seed=1)
    shortcut = Shortcut(6, output_dim, 0, 6, "differences", seed=0)
    aligned = shortcut(x) if output_dim == 6 else None
    shortcut.fit(x, y)
    aligned = shortcut(x) if aligned is None else aligned
    _, _, axes = np.linalg.svd((y - aligned).detach().numpy(), full_matrices=False)
    same = (shortcut.axes @ torch.from_numpy(axes).T).abs()
    torch.testing.assert_close(same, torch.eye(output_dim), rtol=0, atol=2e-3)


@pytest.mark.parametrize(("input_dim", "output_dim"), [(20, 20), (20, 9), (9, 20)])
@pytest.mark.parametrize("axes", ["inputs", "differences"])
def test_fewer_rows_than_dimensions_still_give_orthonormal_axes(input_dim: int, output_dim: int, axes: Axes) -> None:
    shortcut = Shortcut(input_dim, output_dim, 2, 4, axes, seed=0)
    shortcut.fit(rows(6, input_dim), rows(6, output_dim, seed=1))
    torch.testing.assert_close(shortcut.axes @ shortcut.axes.T, torch.eye(output_dim), rtol=0, atol=1e-5)
    if shortcut.alignment is not None:
        wide = shortcut.alignment if output_dim < input_dim else shortcut.alignment.T
        unit = wide @ wide.T * input_dim / output_dim
        torch.testing.assert_close(unit, torch.eye(len(unit)), rtol=0, atol=1e-5)
    again = Shortcut(input_dim, output_dim, 2, 4, axes, seed=0)
    again.load_state_dict(shortcut.state_dict())
    x = rows(5, input_dim, seed=2)
    assert torch.equal(again(x), shortcut(x))


def test_differences_of_equal_rows_are_refused() -> None:
    x = rows(50, 6)
    with pytest.raises(DataError, match=r"equal in all training rows.*lattice\.shortcut\.axes to inputs"):
        Shortcut(6, 6, 0, 6, "differences", seed=0).fit(x, x.clone())


def test_the_low_rank_map_joins_the_largest_axes_alone() -> None:
    x = rows(200, 6)
    shortcut = Shortcut(6, 6, rank=2, width=3, axes="inputs", seed=0)
    shortcut.fit(x, x)
    assert shortcut.low_rank is not None
    with torch.no_grad():
        shortcut.low_rank.up.add_(1)
        change = (shortcut(x) - x) @ shortcut.axes.T
        assert change[:, :3].abs().min(0).values.max() > 1e-4
        torch.testing.assert_close(change[:, 3:], torch.zeros(200, 3), rtol=0, atol=1e-5)


def test_the_offset_is_added_and_everything_learned_counts() -> None:
    shortcut = Shortcut(4, 7, rank=2, width=3, axes="inputs", seed=0)
    assert sum(parameter.numel() for parameter in shortcut.parameters()) == 7 + 7 + 2 * (3 + 3)
    with torch.no_grad():
        before = shortcut(torch.ones(1, 4))
        shortcut.offset[2] = 0.5
        change = (shortcut(torch.ones(1, 4)) - before).squeeze(0)
    torch.testing.assert_close(change, torch.tensor([0, 0, 3.0, 0, 0, 0, 0]))


def test_the_axes_are_the_same_whichever_way_the_solver_points_them() -> None:
    x = rows(100, 8)
    one, other = Shortcut(8, 8, 0, 8, "inputs", seed=0), Shortcut(8, 8, 0, 8, "inputs", seed=0)
    one.fit(x, x)
    other.fit(-x, -x)
    torch.testing.assert_close(one.axes, other.axes, rtol=1e-4, atol=1e-5)
    assert (one.axes.gather(1, one.axes.abs().argmax(1, keepdim=True)) > 0).all()


def test_the_low_rank_map_is_drawn_by_its_seed() -> None:
    assert torch.equal(LowRank(5, 4, 2, seed=3).down, LowRank(5, 4, 2, seed=3).down)
    assert not torch.equal(LowRank(5, 4, 2, seed=3).down, LowRank(5, 4, 2, seed=4).down)
    assert LowRank(500, 4, 200, seed=3).down.std().item() == pytest.approx(500**-0.5, rel=0.02)
    assert not LowRank(500, 4, 200, seed=3).up.any()
