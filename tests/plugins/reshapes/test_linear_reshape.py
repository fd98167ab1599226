from __future__ import annotations

import pytest
import torch
from core_engine_reshapes import Linear
from hypothesis import given, settings
from hypothesis import strategies as st

from core_engine import ReshapeContext

Size = tuple[int, int, int]


def context(input_dim: int, output_dim: int, size: Size) -> ReshapeContext:
    return ReshapeContext(input_dim=input_dim, output_dim=output_dim, size=size, seed=0)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Linear, ReshapeContext]:
    size = draw(st.tuples(*[st.integers(1, 4)] * 3))
    channels = draw(st.integers(1, 4))
    room = size[0] * size[1] * size[2] * channels
    dims = st.integers(1, room)
    return Linear(channels=channels), context(draw(dims), draw(dims), size)


@given(cases(), st.integers(0, 3))
@settings(max_examples=100)
def test_round_trip_is_exact(case: tuple[Linear, ReshapeContext], batch: int) -> None:
    config, where = case
    reshape = config.build(where)
    embedding = torch.randn(batch, where.input_dim, generator=torch.Generator().manual_seed(0))
    lattice = reshape.to_lattice(embedding)
    assert lattice.shape == (batch, *where.size, config.lattice_channels(where))
    back = reshape.from_lattice(lattice)
    common = min(where.input_dim, where.output_dim)
    assert back.shape == (batch, where.output_dim)
    assert torch.equal(back[:, :common], embedding[:, :common])
    assert not back[:, common:].any()
    # Every value that is not padding stands in an input cell, and no other cell is one.
    marked = torch.ones(1, where.input_dim)
    assert torch.equal(reshape.to_lattice(marked)[0].any(-1), reshape.input_cells)
    # And outputs are read from the output cells.
    wanted = torch.zeros(1, *where.size, reshape.channels, requires_grad=True)
    (read,) = torch.autograd.grad(reshape.from_lattice(wanted).sum(), wanted)
    assert torch.equal(read[0].any(-1), reshape.output_cells)


def test_order_is_row_major_with_channels_last() -> None:
    lattice = Linear(channels=2).build(context(23, 23, (2, 3, 2))).to_lattice(torch.arange(1.0, 24.0)[None])[0]
    assert lattice.tolist() == [
        [[[1, 2], [3, 4]], [[5, 6], [7, 8]], [[9, 10], [11, 12]]],
        [[[13, 14], [15, 16]], [[17, 18], [19, 20]], [[21, 22], [23, 0]]],
    ]


def test_masks_leave_out_the_padding() -> None:
    reshape = Linear(channels=3).build(context(10, 4, (1, 2, 3)))
    assert reshape.input_cells.tolist() == [[[True, True, True], [True, False, False]]]
    assert reshape.output_cells.tolist() == [[[True, True, False], [False, False, False]]]


def test_gradients_pass_unchanged() -> None:
    reshape = Linear(channels=2).build(context(7, 9, (2, 2, 2)))
    embedding = torch.randn(2, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: reshape.from_lattice(reshape.to_lattice(x)), [embedding])


def test_nothing_to_learn_fit_or_store() -> None:
    reshape = Linear().build(context(8, 8, (2, 2, 2)))
    reshape.fit(torch.ones(3, 8), torch.ones(3, 8))
    assert not list(reshape.parameters())
    assert not reshape.state_dict()


@pytest.mark.parametrize(("input_dim", "output_dim"), [(384, 384), (10, 384), (384, 10)])
def test_what_does_not_fit_says_what_would(input_dim: int, output_dim: int) -> None:
    where = context(input_dim, output_dim, (8, 8, 4))
    for use in (Linear().lattice_channels, Linear().build):
        with pytest.raises(
            ValueError, match=r"384 dimensions .* 256 cells .*channels to 2, or lattice.size to \[8, 8, 6\]"
        ):
            use(where)
    assert Linear(channels=2).lattice_channels(where) == 2
    assert Linear().lattice_channels(context(input_dim, output_dim, (8, 8, 6))) == 1


def test_channels_must_be_positive() -> None:
    with pytest.raises(ValueError, match="channels"):
        Linear(channels=0)
