"""What training leaves out of the stencil cell's steps: values of the hidden layer (``dropout``), whole cells
(``update_probability``). That each is left out where it should be, the tests against the oracle show.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from core_engine_kernels import Stencil
from core_engine_kernels.stencil.cell import StencilCell
from core_engine_kernels.stencil.masks import masks
from core_engine_kernels.stencil.spec import CellSpec
from torch import Tensor

from core_engine import KernelContext
from core_engine.core.noise import normal

SIZE = (3, 2, 2)

DROPOUT: dict[str, Any] = {"dropout": 0.4}
UPDATES: dict[str, Any] = {"update_probability": 0.3}
each = pytest.mark.parametrize("options", [DROPOUT, UPDATES, DROPOUT | UPDATES], ids=["dropout", "updates", "both"])


def build(size: tuple[int, int, int] = SIZE, **options: Any) -> StencilCell:
    """In float64, all parameters away from zero."""
    cell = Stencil(hidden=6, **options).build(KernelContext(size, channels=3, drive_channels=2, seed=0)).double()
    source = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=source, dtype=torch.float64) * 0.4)
    return cell


def inputs(batch: int = 4, size: tuple[int, int, int] = SIZE) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(2)
    state, drive = (torch.randn(batch, *size, width, generator=source, dtype=torch.float64) for width in (3, 2))
    return state, drive


def run(cell: StencilCell, *, steps: int = 3, seed: int = 5, first: int = 7, memory: int | None = None) -> list[Tensor]:
    """The result and the gradient of state, drive and every parameter."""
    cell.memory = memory
    leaves = [tensor.requires_grad_() for tensor in inputs()]
    final = cell(*leaves, steps, seed, torch.arange(first, first + 4))
    cotangent = torch.linspace(-1, 1, final.numel(), dtype=torch.float64).reshape(final.shape)
    return [final.detach(), *torch.autograd.grad(final, [*leaves, *cell.parameters()], cotangent)]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@each
@pytest.mark.parametrize("update", ["residual", "gated"])
@pytest.mark.parametrize("memory", [None, 1])
def test_evaluation_is_that_of_a_cell_without_them_bit_for_bit(
    options: dict[str, Any], update: Any, memory: int | None
) -> None:
    cell, plain = build(update=update, **options), build(update=update)
    assert list(cell.state_dict()) == list(plain.state_dict())
    assert not torch.equal(run(cell, memory=memory)[0], run(plain, memory=memory)[0])
    assert same(run(cell.eval(), memory=memory), run(plain, memory=memory))
    assert not torch.equal(run(cell.train(), memory=memory)[0], run(plain, memory=memory)[0])


@each
def test_the_expected_step_is_the_one_of_evaluation(options: dict[str, Any]) -> None:
    samples = 20_000
    cell = build(**options)
    state, drive = (tensor.expand(samples, *tensor.shape[1:]) for tensor in inputs(1))
    with torch.no_grad():
        updates = cell(state, drive, 1, 0, torch.arange(samples)) - state
        expected = (cell.eval()(state[:1], drive[:1], 1, 0, torch.arange(1)) - state[:1])[0]
    standard_error = updates.std(dim=0) / math.sqrt(samples)
    assert standard_error.min() > 0
    assert ((updates.mean(dim=0) - expected).abs() / standard_error).max() < 5


@each
def test_they_do_not_depend_on_what_is_kept_for_the_backward_pass(options: dict[str, Any]) -> None:
    cell = build(state_noise=0.2, **options)
    everything = run(cell)
    for memory in (1, 2):
        torch.testing.assert_close(run(cell, memory=memory), everything, rtol=1e-12, atol=1e-12)


@each
def test_they_do_not_depend_on_the_batch_or_on_chunks(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    cell, ids = build(**options), torch.arange(4) * 11
    state, drive = inputs()
    together = cell(state, drive, 3, 5, ids)
    for row in range(4):
        alone = cell(state[row : row + 1], drive[row : row + 1], 3, 5, ids[row : row + 1])
        torch.testing.assert_close(alone, together[row : row + 1], rtol=1e-12, atol=1e-12)
    monkeypatch.setattr("core_engine_kernels.stencil.rollout._CHUNK_BYTES", 1)
    torch.testing.assert_close(cell(state, drive, 3, 5, ids), together, rtol=1e-12, atol=1e-12)


@each
def test_steps_may_be_taken_in_parts(options: dict[str, Any]) -> None:
    cell, ids = build(**options), torch.arange(4)
    state, drive = inputs()
    halfway = cell.advance(state, drive, 0, 2, 8, ids)
    assert torch.equal(cell.advance(halfway, drive, 2, 3, 8, ids), cell(state, drive, 5, 8, ids))


@each
def test_they_are_keyed_by_seed_and_sample_alone(options: dict[str, Any]) -> None:
    cell = build(**options)
    before = torch.get_rng_state()
    once = run(cell)
    assert same(run(cell), once)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(run(cell, seed=6)[0], once[0])
    assert not torch.equal(run(cell, first=8)[0], once[0])


@pytest.mark.parametrize("update", ["residual", "gated"])
def test_gradcheck(update: Any) -> None:
    size = (2, 1, 2)
    cell = build(size, update=update, **DROPOUT, **UPDATES)
    names = [name for name, _ in cell.named_parameters()]

    def final(state: Tensor, drive: Tensor, *values: Tensor) -> Tensor:
        parameters = dict(zip(names, values, strict=True))
        result: Tensor = torch.func.functional_call(cell, parameters, (state, drive, 2, 3, torch.arange(2)))
        return result

    leaves = [*inputs(2, size), *(parameter.detach() for parameter in cell.parameters())]
    assert torch.autograd.gradcheck(final, [leaf.clone().requires_grad_() for leaf in leaves])


def drawn(step: int = 0, hidden: int = 6, **options: Any) -> tuple[Tensor | None, Tensor | None]:
    spec = CellSpec(3, 2, hidden, **options)
    return masks(spec, (2000, *SIZE, 3), 5, torch.arange(2000), step, torch.device("cpu"))


def correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.double().flatten(), other.double().flatten()]))[0, 1])


def test_the_two_kinds_and_the_noise_are_independent_and_so_are_steps() -> None:
    updates, stays = drawn(**DROPOUT, **UPDATES)
    assert updates is not None
    assert stays is not None
    assert (updates.shape, stays.shape) == ((2000, *SIZE, 1), (2000, *SIZE, 6))
    for mask, share in ((updates, 0.3), (stays, 0.6)):
        spread = math.sqrt(share * (1 - share) / mask.numel())
        assert abs(mask.double().mean().item() - share) < 5 * spread
    later_updates, later_stays = drawn(1, **DROPOUT, **UPDATES)
    assert later_updates is not None
    assert later_stays is not None
    noise = normal((2000, *SIZE, 6), 5, torch.arange(2000), 0, torch.float32, torch.device("cpu"))
    limit = 5 / math.sqrt(updates.numel())
    for unit in range(6):
        assert abs(correlation(updates, stays[..., unit])) < limit
        assert abs(correlation(updates, noise[..., unit])) < limit
        assert abs(correlation(stays[..., unit], noise[..., unit])) < limit
        assert abs(correlation(stays[..., unit], later_stays[..., unit])) < limit
        assert abs(correlation(stays[..., unit], stays[..., (unit + 1) % 6])) < limit
    assert abs(correlation(updates, later_updates)) < limit


def test_each_kind_is_the_same_with_the_other_and_without() -> None:
    updates, stays = drawn(**DROPOUT, **UPDATES)
    updates_alone, no_stays = drawn(**UPDATES)
    no_updates, stays_alone = drawn(**DROPOUT)
    assert no_stays is None
    assert no_updates is None
    assert drawn() == (None, None)
    for mask, alone in ((updates, updates_alone), (stays, stays_alone)):
        assert mask is not None
        assert alone is not None
        assert torch.equal(mask, alone)


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("memory", [None, 1])
def test_compiles_without_graph_breaks_in_both_modes(memory: int | None) -> None:
    cell = build(**DROPOUT, **UPDATES)
    cell.memory = memory
    compiled = torch.compile(cell, fullgraph=True, backend="aot_eager")
    results = []
    for training in (True, False, True):
        results.append(cell.train(training)(*inputs(), 2, 2**62 + 9, torch.arange(4)))
        torch.testing.assert_close(compiled(*inputs(), 2, 2**62 + 9, torch.arange(4)), results[-1])
    assert torch.equal(results[0], results[2])
    assert not torch.equal(results[0], results[1])


def test_lower_precisions_make_the_same_decisions() -> None:
    cell = build(**DROPOUT, **UPDATES).float()
    state, drive = (tensor.float() for tensor in inputs())
    ids = torch.arange(4)
    exact = cell(state, drive, 1, 5, ids)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = cell(state, drive, 1, 5, ids)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed == state, exact == state)
    assert 1e-5 < ((mixed - exact).norm() / exact.norm()).item() < 2e-2
    low = cell.bfloat16()(state.bfloat16(), drive.bfloat16(), 1, 5, ids)
    assert low.dtype == torch.bfloat16
    assert ((low - exact).norm() / exact.norm()).item() < 2e-2
