from __future__ import annotations

from typing import Any

import pytest
import torch
from core_engine_kernels import Stencil
from core_engine_kernels.stencil.cell import StencilCell
from core_engine_kernels.stencil.rollout import rollout
from hypothesis import given, settings
from hypothesis import strategies as st
from stencil_oracle import oracle
from torch import Tensor

from core_engine import KernelContext

Size = tuple[int, int, int]


def spread_cell(spec: Stencil, size: Size, channels: int, drive: int, scale: float = 0.4) -> StencilCell:
    """A cell in float64 whose parameters are all away from zero."""
    cell = spec.build(KernelContext(size=size, channels=channels, drive_channels=drive, seed=0)).double()
    source = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=source, dtype=torch.float64) * scale)
    return cell


def inputs(batch: int, size: Size, channels: int, drive: int, seed: int = 2) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(seed)
    shapes = ((batch, *size, channels), (batch, *size, drive))
    state, driven = (torch.randn(shape, generator=source, dtype=torch.float64) for shape in shapes)
    return state, driven


def both(spec: Stencil, size: Size, channels: int = 3, drive: int = 2, steps: int = 2, batch: int = 2) -> None:
    """Result and every gradient, against the oracle."""
    cell = spread_cell(spec, size, channels, drive)
    ids = torch.arange(batch) + 5
    results = []
    for run in (rollout, oracle):
        state, driven = inputs(batch, size, channels, drive)
        leaves = {name: p.detach().clone().requires_grad_() for name, p in cell.named_parameters()}
        leaves |= {"state": state.requires_grad_(), "drive": driven.requires_grad_()}
        final = run(cell.spec, leaves, leaves["state"], leaves["drive"], 3, steps, 7, ids)
        weights = torch.linspace(-1, 1, final.numel(), dtype=torch.float64).reshape(final.shape)
        gradients = torch.autograd.grad((final * weights).sum(), list(leaves.values()))
        results.append({"final": final.detach(), **dict(zip(leaves, gradients, strict=True))})
    for name in results[0]:
        torch.testing.assert_close(results[0][name], results[1][name], rtol=1e-10, atol=1e-10, msg=name)


@pytest.mark.parametrize("neighbours", [6, 26])
@pytest.mark.parametrize("boundary", ["zero", "periodic"])
@pytest.mark.parametrize("size", [(2, 3, 4), (3, 1, 2), (1, 1, 1), (1, 2, 5)])
def test_equal_to_the_cell_by_cell_oracle_at_every_size(neighbours: Any, boundary: Any, size: Size) -> None:
    both(Stencil(hidden=4, neighbours=neighbours, boundary=boundary), size)


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "relu", "silu"])
@pytest.mark.parametrize("update", ["residual", "gated"])
def test_equal_to_the_oracle_for_every_cell(activation: Any, update: Any) -> None:
    both(Stencil(hidden=4, activation=activation, update=update, state_noise=0.3), (2, 1, 3))
    both(Stencil(hidden=3, activation=activation, update=update, position=False), (2, 2, 2), drive=1)
    training = Stencil(hidden=4, activation=activation, update=update, dropout=0.3, update_probability=0.6)
    both(training, (2, 1, 3))


@given(
    size=st.tuples(*[st.integers(1, 3)] * 3),
    channels=st.integers(1, 4),
    drive=st.integers(1, 4),
    hidden=st.integers(1, 5),
    steps=st.integers(0, 3),
    batch=st.integers(1, 3),
    update=st.sampled_from(["residual", "gated"]),
    neighbours=st.sampled_from([6, 26]),
    boundary=st.sampled_from(["zero", "periodic"]),
    position=st.booleans(),
    noise=st.sampled_from([0.0, 0.7]),
    dropout=st.sampled_from([0.0, 0.4]),
    probability=st.sampled_from([0.5, 1.0]),
)
@settings(max_examples=30, deadline=None)
def test_equal_to_the_oracle_at_random(
    size: Size,
    channels: int,
    drive: int,
    hidden: int,
    steps: int,
    batch: int,
    position: bool,
    noise: float,
    dropout: float,
    probability: float,
    **kind: Any,
) -> None:
    chance: dict[str, Any] = {"state_noise": noise, "dropout": dropout, "update_probability": probability}
    spec = Stencil(hidden=hidden, position=position, **chance, **kind)
    cell = spread_cell(spec, size, channels, drive)
    state, driven = inputs(batch, size, channels, drive)
    ids = torch.arange(batch)
    with torch.no_grad():
        expected = oracle(cell.spec, dict(cell.named_parameters()), state, driven, 0, steps, 3, ids)
        torch.testing.assert_close(cell(state, driven, steps, 3, ids), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("boundary", ["zero", "periodic"])
@pytest.mark.parametrize("update", ["residual", "gated"])
def test_gradcheck(boundary: Any, update: Any) -> None:
    cell = spread_cell(Stencil(hidden=3, update=update, boundary=boundary, state_noise=0.2), (2, 1, 3), 2, 1)
    state, driven = inputs(2, (2, 1, 3), 2, 1)
    names = [name for name, _ in cell.named_parameters()]

    def run(state: Tensor, driven: Tensor, *values: Tensor) -> Tensor:
        return rollout(cell.spec, dict(zip(names, values, strict=True)), state, driven, 0, 2, 0, torch.arange(2))

    leaves = [state, driven, *(p.detach() for p in cell.parameters())]
    assert torch.autograd.gradcheck(run, [leaf.clone().requires_grad_() for leaf in leaves])


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    spec, size = Stencil(hidden=4, update="gated", state_noise=0.3), (2, 3, 2)
    cell = spread_cell(spec, size, 3, 2)
    results = []
    for chunk_bytes in (8 * 2**20, 3 * 12 * 4 * 8, 1):  # all at once, three samples, one sample
        monkeypatch.setattr("core_engine_kernels.stencil.rollout._CHUNK_BYTES", chunk_bytes)
        cell.zero_grad()
        state, driven = inputs(8, size, 3, 2)
        final = cell(state, driven, 3, 1, torch.arange(8) * 11)
        final.square().sum().backward()
        results.append([final.detach(), *(p.grad.clone() for p in cell.parameters() if p.grad is not None)])
    for other in results[1:]:
        torch.testing.assert_close(other, results[0])


def test_float32_error_is_rounding() -> None:
    spec, size = Stencil(hidden=64), (4, 4, 6)
    cell = spread_cell(spec, size, 16, 1, scale=0.1)
    state, driven = inputs(8, size, 16, 1)
    exact = cell(state, driven, 8, 0, torch.arange(8))
    rounded = cell.float()(state.float(), driven.float(), 8, 0, torch.arange(8))
    assert (rounded.double() - exact).norm() / exact.norm() < 2e-6


def test_autocast_computes_in_bfloat16_and_keeps_the_state_in_float32() -> None:
    spec, size = Stencil(hidden=32, update="gated", boundary="periodic", state_noise=0.1), (3, 3, 3)
    cell = spread_cell(spec, size, 8, 2, scale=0.1).float()
    state, driven = (t.float() for t in inputs(4, size, 8, 2))
    exact = cell(state, driven, 4, 0, torch.arange(4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = cell(state, driven, 4, 0, torch.arange(4))
    assert mixed.dtype == torch.float32
    error = ((mixed - exact).norm() / exact.norm()).item()
    assert 1e-5 < error < 1e-2
    mixed.sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in cell.parameters())


def test_bfloat16_throughout() -> None:
    cell = spread_cell(Stencil(hidden=16), (2, 2, 2), 4, 1, scale=0.1).bfloat16()
    state, driven = (t.bfloat16() for t in inputs(2, (2, 2, 2), 4, 1))
    assert cell(state, driven, 2, 0, torch.arange(2)).dtype == torch.bfloat16


def test_the_callers_tensors_are_left_alone() -> None:
    cell = spread_cell(Stencil(hidden=4, state_noise=0.5), (2, 2, 2), 3, 1)
    state, driven = inputs(2, (2, 2, 2), 3, 1)
    copies = state.clone(), driven.clone()
    cell(state, driven, 3, 0, torch.arange(2))
    assert torch.equal(state, copies[0])
    assert torch.equal(driven, copies[1])


@pytest.mark.usefixtures("fresh_compiler")
def test_compiles_without_graph_breaks() -> None:
    spec, size = Stencil(hidden=8, update="gated", boundary="periodic", state_noise=0.3), (2, 3, 2)
    cell = spread_cell(spec, size, 4, 2).float()
    state, driven = (t.float() for t in inputs(4, size, 4, 2))
    compiled = torch.compile(cell, fullgraph=True, backend="aot_eager")  # needs no C++ compiler
    for seed in (1, 2**62 + 9):
        expected = cell(state, driven, 3, seed, torch.arange(4))
        torch.testing.assert_close(compiled(state, driven, 3, seed, torch.arange(4)), expected, rtol=1e-5, atol=1e-5)
