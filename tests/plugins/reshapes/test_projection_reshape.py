from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from core_engine_reshapes import Projection
from core_engine_reshapes.projection import ProjectionReshape
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from structlog.testing import capture_logs
from torch import Tensor

from core_engine import ReshapeContext

SIZE = (2, 3, 2)  # 12 cells


def build(input_dim: int = 8, output_dim: int = 8, seed: int = 0, **options: Any) -> ProjectionReshape:
    context = ReshapeContext(input_dim=input_dim, output_dim=output_dim, size=SIZE, seed=seed)
    config = Projection(**options)
    assert config.lattice_channels(context) == config.channels
    return config.build(context)


def rows(n: int, dim: int, seed: int = 0) -> Tensor:
    """Correlated rows in float64: their principal axes are no coordinate axes and have clearly different weights."""
    source = torch.Generator().manual_seed(seed)
    mixed = torch.linalg.qr(torch.randn(dim, dim, generator=source, dtype=torch.float64)).Q
    return torch.randn(n, dim, generator=source, dtype=torch.float64) * 0.7 ** torch.arange(dim) @ mixed


def round_trip(reshape: ProjectionReshape, x: Tensor) -> Tensor:
    return reshape.from_lattice(reshape.to_lattice(x))


@given(
    dim=st.integers(1, 24),
    channels=st.integers(2, 3),
    init=st.sampled_from(["orthogonal", "principal", "whitening"]),
    rank=st.sampled_from([None, 0, 3]),
    fit=st.booleans(),
    n=st.integers(1, 40),
)
@settings(max_examples=60, deadline=None)
def test_untrained_round_trip_is_exact_where_there_is_room(dim: int, fit: bool, n: int, **options: Any) -> None:
    reshape = build(dim, dim, **options)
    x = rows(n, dim).float()
    if fit:  # fewer rows than dimensions too
        reshape.fit(x, x)
    lattice = reshape.to_lattice(x)
    assert lattice.shape == (n, *SIZE, options["channels"])
    if options["init"] != "whitening":
        torch.testing.assert_close(lattice.flatten(1).norm(dim=1), x.norm(dim=1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(reshape.from_lattice(lattice), x, rtol=1e-4, atol=1e-5)


def test_principal_axes_are_those_of_the_training_inputs_largest_first() -> None:
    x = rows(500, 8)
    reshape = build(init="principal").double()
    reshape.fit(x, rows(500, 8, seed=1))
    values = reshape.to_lattice(x).flatten(1)
    second_moments = values.T @ values / len(x)
    expected = torch.linalg.eigvalsh(x.T @ x / len(x)).flip(0)
    torch.testing.assert_close(second_moments[:8, :8], torch.diag(expected), atol=1e-6, rtol=1e-6)
    assert not values[:, 8:].any(), "positions after the last axis are zero"
    largest = reshape.weight_in[:8].abs().argmax(1, keepdim=True)
    assert (reshape.weight_in[:8].gather(1, largest) > 0).all(), "signs are fixed"
    assert torch.equal(reshape.weight_out, reshape.weight_in.T)


def test_whitened_values_are_uncorrelated_and_of_one_size() -> None:
    x = rows(500, 8)
    x = x / x.square().mean().sqrt()
    reshape = build(init="whitening").double()
    reshape.fit(x, x)
    values = reshape.to_lattice(x).flatten(1)
    second_moments = values.T @ values / len(x)
    squares = torch.linalg.eigvalsh(x.T @ x / len(x)).flip(0)
    # The ridge, 0.01 of the mean of 1, is what a mean square falls short of 1 by.
    torch.testing.assert_close(second_moments[:8, :8], torch.diag(squares / (squares + 0.01)), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(round_trip(reshape, x), x, atol=1e-6, rtol=1e-6)


def test_whitening_makes_no_direction_more_than_ten_times_larger() -> None:
    """Five rows have no variance in most directions; a new row has."""
    x = rows(5, 12)
    x = x / x.square().mean().sqrt()
    reshape = build(12, 12, init="whitening").double()
    reshape.fit(x, x)
    assert 9.99 < torch.linalg.matrix_norm(reshape.weight_in.detach(), 2) < 10.01
    new = rows(20, 12, seed=1)
    torch.testing.assert_close(round_trip(reshape, new), new, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("init", ["orthogonal", "principal", "whitening"])
def test_with_too_few_values_it_says_what_it_keeps(init: Any) -> None:
    x = rows(300, 30)
    reshape = build(30, 30, init=init).double()
    with capture_logs() as logs:
        reshape.fit(x, x)
    kept = (round_trip(reshape, x).square().sum() / x.square().sum()).item()
    (event,) = logs
    assert event["event"] == "projection fitted"
    assert event["share_of_input_kept"] == pytest.approx(kept, abs=1e-4)
    best = torch.linalg.eigvalsh(x.T @ x).flip(0)
    share = (best[:12].sum() / best.sum()).item()
    if init != "orthogonal":
        assert kept == pytest.approx(share)
    else:
        assert 0.1 < kept < share - 0.1


def test_sides_of_different_dimension_get_axes_of_their_own() -> None:
    inputs, targets = rows(300, 5), rows(300, 9, seed=1)
    reshape = build(5, 9, init="principal").double()
    reshape.fit(inputs, targets)
    assert round_trip(reshape, inputs).shape == (300, 9)
    coordinates = targets @ reshape.weight_out
    off_diagonal = coordinates.T @ coordinates
    off_diagonal.fill_diagonal_(0)
    assert off_diagonal.abs().max() < 1e-4
    whitening = build(5, 9, init="whitening").double()
    whitening.fit(inputs, targets)
    sizes = whitening.weight_out.square().sum(0)[:9]
    squares = torch.linalg.eigvalsh(targets.T @ targets / 300).flip(0)
    torch.testing.assert_close(sizes, squares + 0.01 * squares.mean(), atol=1e-6, rtol=1e-6)
    orthogonal = build(5, 9).double()
    torch.testing.assert_close(
        orthogonal.weight_out @ orthogonal.weight_out.T, torch.eye(9).double(), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize(
    ("rank", "learned"),
    [(None, {"weight_in", "weight_out"}), (0, set()), (2, {"up_in", "down_in", "up_out", "down_out"})],
)
def test_rank_says_what_is_learned(rank: int | None, learned: set[str]) -> None:
    reshape = build(rank=rank)
    assert {name for name, _ in reshape.named_parameters()} == learned
    assert {"weight_in", "weight_out"} <= set(reshape.state_dict())
    optimizer = torch.optim.SGD(list(reshape.parameters()) or [torch.zeros(1)], lr=0.1)
    x = rows(20, 8).float()
    for _ in range(2):
        optimizer.zero_grad()
        if learned:
            (round_trip(reshape, x) - x.flip(1)).square().mean().backward()
        optimizer.step()
    assert all(p.grad is not None and p.grad.ne(0).any() for p in reshape.parameters())


def test_low_rank_update_changes_the_maps_by_that_rank() -> None:
    reshape = build(rank=2).double()
    fixed = reshape.weight_in.clone()
    with torch.no_grad():
        reshape.up_in.normal_(generator=torch.Generator().manual_seed(0))
    full = reshape.to_lattice(torch.eye(8).double()).flatten(1).T
    assert torch.linalg.matrix_rank(full - fixed) == 2


@pytest.mark.parametrize("rank", [None, 2])
def test_gradcheck(rank: int | None) -> None:
    reshape = build(5, 4, rank=rank).double()
    x = rows(2, 5).requires_grad_()
    parameters = list(reshape.parameters())
    assert torch.autograd.gradcheck(lambda x, *_: round_trip(reshape, x), [x, *parameters])


def test_seed_and_nothing_else_decides_the_start() -> None:
    before = torch.get_rng_state()
    first = build(seed=3, rank=2).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    for name, value in build(seed=3, rank=2).state_dict().items():
        assert torch.equal(value, first[name])
    assert not torch.equal(build(seed=4).weight_in, first["weight_in"])


@pytest.mark.parametrize("rank", [None, 0, 2])
def test_fitted_values_survive_safetensors(rank: int | None, tmp_path: Path) -> None:
    x = rows(50, 8).float()
    reshape = build(init="principal", rank=rank)
    reshape.fit(x, x)
    save_file({name: t.contiguous() for name, t in reshape.state_dict().items()}, tmp_path / "reshape.safetensors")
    other = build(init="principal", rank=rank, seed=9)
    other.load_state_dict(load_file(tmp_path / "reshape.safetensors"))
    assert torch.equal(other.to_lattice(x), reshape.to_lattice(x))
    assert torch.equal(round_trip(other, x), round_trip(reshape, x))


def test_fit_by_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    x = rows(50, 8)
    whole = build(init="principal").double()
    whole.fit(x, x)
    monkeypatch.setattr("core_engine_reshapes.moments.ROWS", 7)
    blocks = build(init="principal").double()
    blocks.fit(x, x)
    torch.testing.assert_close(blocks.weight_in, whole.weight_in)


def test_every_cell_takes_part() -> None:
    reshape = build()
    assert reshape.input_cells.all()
    assert reshape.output_cells.all()
    assert reshape.input_cells.shape == reshape.output_cells.shape == SIZE


@pytest.mark.parametrize("options", [{"channels": 0}, {"rank": -1}])
def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Projection(**options)


def test_random_axes_are_uniform_over_rotations() -> None:
    """The QR decomposition alone has a sign of its own: its first entry is never positive."""
    first = torch.stack([build(4, 4, seed=seed).weight_in.detach()[:4] for seed in range(300)])
    assert first.mean(0).abs().max() < 5 * (first.std(0) / 300**0.5).max()
