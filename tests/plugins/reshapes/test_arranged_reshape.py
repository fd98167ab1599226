"""`linear` with an order fitted to the training split, and with values at the lattice's faces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from core_engine_reshapes import Linear
from core_engine_reshapes.linear import LinearReshape
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from core_engine import ReshapeContext
from core_engine.core.reach import reach

Size = tuple[int, int, int]
ORDERS = ["variance", "correlation"]


def build(input_dim: int, output_dim: int, size: Size, **options: Any) -> LinearReshape:
    return Linear(**options).build(ReshapeContext(input_dim=input_dim, output_dim=output_dim, size=size, seed=0))


def rows(n: int, dim: int, seed: int = 0) -> Tensor:
    """Dimensions of different variance; each is made of a few of eight hidden ones, some opposite to others."""
    source = torch.Generator().manual_seed(seed)
    hidden = torch.randn(n, 8, generator=source, dtype=torch.float64)
    weights = torch.randn(8, dim, generator=source, dtype=torch.float64) ** 3
    own = torch.randn(n, dim, generator=source, dtype=torch.float64)
    return ((hidden @ weights + 0.3 * own) * torch.rand(dim, generator=source, dtype=torch.float64)).float()


def mean_distance(reshape: LinearReshape, data: Tensor, position: Tensor) -> float:
    """City-block distance of two dimensions' cells, mean over all pairs with |correlation| as the weight."""
    weights = torch.corrcoef(data.T.double()).abs().fill_diagonal_(0)
    cells = torch.stack(torch.unravel_index(position // reshape.channels, reshape.size), 1).double()
    return float((weights * torch.cdist(cells, cells, p=1)).sum() / weights.sum())


@st.composite
def cases(draw: st.DrawFn) -> tuple[LinearReshape, Tensor, Tensor]:
    size = draw(st.tuples(*[st.integers(1, 4)] * 3))
    channels = draw(st.integers(1, 3))
    placement = draw(st.sampled_from(["volume", "surface"]))
    order = draw(st.sampled_from(ORDERS))
    room = size[0] * size[1] * (1 if placement == "surface" else size[2]) * channels
    dims = draw(st.tuples(*[st.integers(1, room)] * 2))
    reshape = build(*dims, size, channels=channels, order=order, placement=placement)
    n = draw(st.integers(1, 30))
    inputs, targets = rows(n, dims[0]), rows(n, dims[1], seed=1)
    if draw(st.booleans()):  # dimensions that never vary, or are equal
        inputs[:, : dims[0] // 2] = draw(st.sampled_from([0.0, 3.0]))
        targets[:, dims[1] // 2 :] = targets[:, :1]
    return reshape, inputs, targets


@given(cases())
@settings(max_examples=100, deadline=None)
def test_fitted_places_are_a_bijection_onto_the_cells_it_names(case: tuple[LinearReshape, Tensor, Tensor]) -> None:
    reshape, inputs, targets = case
    cells_before = reshape.input_cells, reshape.output_cells
    reshape.fit(inputs, targets)
    for position in (reshape.position_in, reshape.position_out):
        assert len(position.unique()) == len(position)
    lattice = reshape.to_lattice(inputs)
    padded = F.pad(inputs, (0, lattice[0].numel() - inputs.shape[1]))
    assert torch.equal(lattice.flatten(1).sort(1).values, padded.sort(1).values)
    assert torch.equal(reshape.to_lattice(torch.ones_like(inputs))[0].any(-1), reshape.input_cells)
    wanted = torch.zeros(1, *reshape.size, reshape.channels, requires_grad=True)
    (read,) = torch.autograd.grad(reshape.from_lattice(wanted).sum(), wanted)
    assert torch.equal(read[0].any(-1), reshape.output_cells)
    # `core-engine check` tells the reach before anything is fitted.
    assert torch.equal(cells_before[0], reshape.input_cells)
    assert torch.equal(cells_before[1], reshape.output_cells)
    first = reshape.position_in.clone(), reshape.position_out.clone()
    reshape.fit(inputs, targets)
    assert torch.equal(first[0], reshape.position_in)
    assert torch.equal(first[1], reshape.position_out)


@given(st.integers(1, 24), st.sampled_from(ORDERS), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_round_trip_is_exact_to_the_bit(dim: int, order: str, channels: int) -> None:
    x = rows(20, dim)
    reshape = build(dim, dim, (2, 3, 4), channels=channels, order=order)
    reshape.fit(x, x.flip(1))
    assert torch.equal(reshape.from_lattice(reshape.to_lattice(x)), x)


def test_largest_variance_lies_at_the_centre() -> None:
    x = torch.tensor([[1.0, 3.0, 2.0, 5.0, 3.0]]) * torch.tensor([[1.0], [-1.0]])
    reshape = build(5, 5, (1, 1, 5), order="variance")
    reshape.fit(x, x.flip(1) ** 2)  # as many targets: the inputs decide
    # From the centre, z = 2: variances 25, then 9 and 9 as they are given, then 4 and 1.
    assert reshape.to_lattice(x)[0].flatten().tolist() == [2, 3, 5, 3, 1]


def test_variance_is_about_the_mean() -> None:
    x = torch.tensor([[100.0, -1.0], [100.0, 1.0]])
    reshape = build(2, 2, (2, 1, 1), order="variance")
    reshape.fit(x, x)
    assert reshape.position_in.tolist() == [1, 0]


def test_correlated_dimensions_share_a_cell() -> None:
    """Four pairs, of which one dimension is the other's opposite: each pair gets a cell, and likes stand in a row."""
    source = torch.Generator().manual_seed(0)
    hidden = torch.randn(500, 4, generator=source)
    hidden[:, 1:] += 0.7 * hidden[:, :-1]
    x = torch.cat([hidden, -hidden + 0.1 * torch.randn(500, 4, generator=source)], 1)
    reshape = build(8, 8, (1, 4, 1), channels=2, order="correlation")
    reshape.fit(x, x)
    cell = (reshape.position_in // 2).tolist()
    assert cell[:4] == cell[4:]
    assert cell[:4] in ([0, 1, 2, 3], [3, 2, 1, 0])


@given(
    st.sampled_from([((4, 2, 2), 3), ((4, 4, 3), 1), ((1, 1, 16), 3), ((3, 3, 3), 2), ((3, 5, 2), 3, "surface")]),
    st.integers(0, 1000),
)
@settings(max_examples=30, deadline=None)
def test_correlated_dimensions_end_nearer_than_at_random(lattice: tuple[Any, ...], seed: int) -> None:
    size, channels, *placement = lattice
    x = rows(300, 40, seed)
    reshape = build(40, 40, size, channels=channels, order="correlation", placement=(placement or ["volume"])[0])
    source = torch.Generator().manual_seed(seed)
    position = reshape.position_in.clone()
    at_random = [mean_distance(reshape, x, position[torch.randperm(40, generator=source)]) for _ in range(20)]
    reshape.fit(x, x)
    assert mean_distance(reshape, x, reshape.position_in) < min(at_random)


def test_sides_of_different_dimension_are_ordered_by_themselves() -> None:
    inputs, targets = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    reshape = build(2, 3, (3, 1, 1), order="variance")
    reshape.fit(inputs, targets)
    assert reshape.position_in.tolist() == [0, 1]  # cells from the centre: 1, 0, 2
    assert reshape.position_out.tolist() == [2, 0, 1]


@pytest.mark.parametrize("order", ["given", *ORDERS])
def test_surface_goes_in_at_the_first_face_and_out_at_the_last(order: Any) -> None:
    x = rows(30, 7)
    reshape = build(7, 7, (2, 2, 3), channels=2, order=order, placement="surface")
    reshape.fit(x, x)
    lattice = reshape.to_lattice(x)
    assert not lattice[:, :, :, 1:].any()
    assert not reshape.from_lattice(lattice).any()
    across = torch.zeros_like(lattice)
    across[:, :, :, 2] = lattice[:, :, :, 0]
    assert torch.equal(reshape.from_lattice(across), x), "what is carried straight across comes out as it was"
    cells = reshape.input_cells, reshape.output_cells
    shares = [reach(*cells, steps, periodic=False).share_of_outputs for steps in (1, 2)]
    assert shares == [0, 1]


def test_surface_in_a_flat_lattice_is_the_volume() -> None:
    x = rows(10, 8)
    surface = build(8, 8, (2, 2, 1), channels=2, placement="surface")
    assert torch.equal(surface.to_lattice(x), build(8, 8, (2, 2, 1), channels=2).to_lattice(x))
    assert torch.equal(surface.from_lattice(surface.to_lattice(x)), x)


def test_what_does_not_fit_into_a_face_says_what_would() -> None:
    where = ReshapeContext(input_dim=30, output_dim=8, size=(2, 3, 9), seed=0)
    with pytest.raises(
        ValueError,
        match=r"6 cells of a face, of 2 channels \(12 values\).*channels to 5, or lattice.size to \[2, 8, 9\]",
    ):
        Linear(channels=2, placement="surface").lattice_channels(where)
    for channels, size in ((5, (2, 3, 9)), (2, (2, 8, 9))):
        fitting = ReshapeContext(input_dim=30, output_dim=8, size=size, seed=0)
        assert Linear(channels=channels, placement="surface").lattice_channels(fitting) == channels


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("placement", ["volume", "surface"])
def test_gradients_pass(order: Any, placement: Any) -> None:
    reshape = build(5, 6, (2, 3, 1), order=order, placement=placement)
    reshape.fit(rows(20, 5), rows(20, 6))
    x = rows(2, 5).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: reshape.from_lattice(reshape.to_lattice(x)), [x])


@pytest.mark.parametrize("order", ORDERS)
def test_fitted_places_survive_safetensors(order: Any, tmp_path: Path) -> None:
    x = rows(50, 8)
    reshape = build(8, 8, (3, 3, 1), order=order)
    reshape.fit(x, x)
    save_file(reshape.state_dict(), tmp_path / "reshape.safetensors")
    other = build(8, 8, (3, 3, 1), order=order)
    assert not torch.equal(other.position_in, reshape.position_in)
    other.load_state_dict(load_file(tmp_path / "reshape.safetensors"))
    assert torch.equal(other.to_lattice(x), reshape.to_lattice(x))
    assert torch.equal(other.from_lattice(other.to_lattice(x)), x)


@pytest.mark.parametrize("order", ORDERS)
def test_fit_by_blocks(order: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x = rows(50, 12)
    whole, blocks = (build(12, 12, (2, 2, 3), order=order) for _ in range(2))
    whole.fit(x, x)
    monkeypatch.setattr("core_engine_reshapes.moments.ROWS", 7)
    blocks.fit(x, x)
    assert torch.equal(whole.position_in, blocks.position_in)


@pytest.mark.parametrize("order", ORDERS)
def test_a_larger_lattice_keeps_the_fitted_places(order: Any) -> None:
    x = rows(50, 12)
    small = build(12, 12, (2, 2, 3), order=order)
    small.fit(x, x)
    large = build(12, 12, (3, 2, 4), order=order)
    large.load_state_dict(large.grown(small.state_dict(), (2, 2, 3)))
    assert torch.equal(large.to_lattice(x)[:, :2, :2, :3], small.to_lattice(x))
    assert not large.to_lattice(x)[:, 2:].any()
    assert not large.to_lattice(x)[..., 3, :].any()
    assert torch.equal(large.from_lattice(large.to_lattice(x)), x)
    assert large.input_cells.sum() == small.input_cells.sum()
    with pytest.raises(ValueError, match="smaller"):
        small.grown(large.state_dict(), (3, 2, 4))


def test_a_surface_grows_in_its_plane_alone() -> None:
    surface = {"channels": 2, "placement": "surface", "order": "variance"}
    small, wide, deep = (build(8, 8, size, **surface) for size in ((2, 2, 2), (3, 3, 2), (2, 2, 3)))
    wide.load_state_dict(wide.grown(small.state_dict(), (2, 2, 2)))
    assert torch.equal(wide.output_cells[:2, :2], small.output_cells)
    with pytest.raises(ValueError, match="last face along z"):
        deep.grown(small.state_dict(), (2, 2, 2))
    with pytest.raises(ValueError, match="along x alone"):
        build(8, 8, (2, 3, 2), channels=2, placement="surface").grown({}, (2, 2, 2))
