"""What goes on inside the lattice, against values worked out by hand and against the core itself."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from core_engine_kernels import Stencil
from core_engine_reshapes import Linear
from torch import Tensor, nn

from core_engine import CellKernel, EmbeddingProcessor, KernelContext, ReshapeContext
from core_engine.evaluation import signal
from core_engine.evaluation.signal import study_signal


class Scaled(CellKernel):
    """Multiplies each cell's state by its factor, ``[X]``."""

    def __init__(self, *factors: float) -> None:
        super().__init__()
        self.register_buffer("factors", torch.tensor(factors).reshape(-1, 1, 1, 1))

    def advance(
        self, state: Tensor, drive: Tensor, first_step: int, steps: int, seed: int, sample_ids: Tensor
    ) -> Tensor:
        return state * self.factors**steps


class Whole(nn.Module):
    """The same, as a kernel whose steps cannot be taken one by one."""

    def __init__(self, *factors: float) -> None:
        super().__init__()
        self.inner = Scaled(*factors)

    def forward(self, *arguments: Any) -> Tensor:
        return self.inner(*arguments)


def two_cells(kernel: nn.Module, steps: int = 2) -> EmbeddingProcessor:
    """Value i of an embedding of two lies in cell i; nothing is centred or scaled."""
    reshape = Linear(channels=1).build(ReshapeContext(2, 2, (2, 1, 1), seed=0))
    return EmbeddingProcessor(
        reshape=reshape, kernel=kernel, input_dim=2, output_dim=2, size=(2, 1, 1), channels=1, steps=steps
    )


def stencil(size: tuple[int, int, int] = (3, 2, 2), steps: int = 3, **options: Any) -> EmbeddingProcessor:
    reshape = Linear(channels=2).build(ReshapeContext(20, 20, size, seed=0))
    kernel = Stencil(hidden=6, **options).build(KernelContext(size, 4, 2, seed=0))
    for weight in kernel.parameters():
        nn.init.normal_(weight, std=0.3, generator=torch.Generator().manual_seed(weight.numel()))
    return EmbeddingProcessor(
        reshape=reshape, kernel=kernel, input_dim=20, output_dim=20, size=size, channels=4, steps=steps
    )


def rows(count: int, dim: int = 20) -> Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(count))


def test_sizes_gradients_and_reach_by_hand() -> None:
    inputs = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    found = study_signal(two_cells(Scaled(2.0, 2.0)), inputs, torch.ones(2, 2))
    # Half the values are 1 and half 0, and each step doubles them.
    assert found.state_rms.tolist() == pytest.approx([math.sqrt(0.5), 2 * math.sqrt(0.5), 4 * math.sqrt(0.5)])
    # d cos / d y has the length sin(angle) / |y|, here sin 45° / 4; each step before the last one doubles it.
    assert found.gradient is not None
    last = math.sqrt(0.5) / 4
    assert found.gradient.tolist() == pytest.approx([4 * last, 2 * last, last])
    assert [reach.share_of_pairs for reach in found.reach] == [0.5, 1.0, 1.0]
    assert found.cell_rms.flatten().tolist() == pytest.approx([4 * math.sqrt(0.5)] * 2)
    assert found.dead.tolist() == [0, 0, 0]
    assert (found.rows, found.ablated_rows) == (2, 2)
    # The mean output is (2, 2); each output is 4 long and sqrt(8) from it.
    assert found.output_spread == pytest.approx(math.sqrt(8) / 4)


def test_a_cell_that_counts_and_one_that_does_not() -> None:
    inputs = torch.tensor([[3.0, 0.0], [-3.0, 0.0]])
    found = study_signal(two_cells(Scaled(1.0, 1.0)), inputs, inputs)
    # Without the first cell the output is the mean, zero, whose cosine is 0; the second is the same for both rows.
    assert found.importance.flatten().tolist() == pytest.approx([1.0, 0.0])
    assert found.dead.tolist() == [0.5, 0.5, 0.5]


def test_a_cell_that_does_harm() -> None:
    inputs = torch.tensor([[3.0, 4.0], [-3.0, -4.0]])
    targets = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    found = study_signal(two_cells(Scaled(1.0, 1.0)), inputs, targets)
    assert found.importance.flatten().tolist() == pytest.approx([0.6, 0.6 - 1.0])


def test_an_output_that_does_not_depend_on_the_input() -> None:
    core = two_cells(Scaled(0.0, 0.0))
    core.normalizer.target_mean.copy_(torch.tensor([1.0, 2.0]))
    found = study_signal(core, rows(5, 2), rows(5, 2))
    assert found.output_is_constant
    assert found.dead.tolist() == [0, 1, 1]
    assert found.importance.flatten().tolist() == [0, 0]
    assert found.gradient is not None
    assert found.gradient[0] == 0
    assert not study_signal(two_cells(Scaled(1.0, 1.0)), rows(5, 2), rows(5, 2)).output_is_constant


def test_a_kernel_whose_steps_cannot_be_told_apart() -> None:
    whole, stepped = (study_signal(two_cells(kernel(2.0, 3.0)), rows(9, 2), rows(9, 2)) for kernel in (Whole, Scaled))
    assert whole.gradient is None
    assert torch.allclose(whole.state_rms, stepped.state_rms)
    assert torch.allclose(whole.importance, stepped.importance)


@pytest.mark.parametrize("options", [{}, {"state_noise": 0.5}, {"boundary": "periodic", "neighbours": 26}])
def test_the_states_are_those_of_the_core(options: dict[str, Any]) -> None:
    core = stencil(**options).train()
    inputs, targets = rows(40), rows(41)[:40]
    found = study_signal(core, inputs, targets, seed=5)
    assert core.training
    core.eval()
    ids = torch.arange(40)
    with torch.no_grad():
        states = torch.stack([core.state_after(inputs, step, 5, ids) for step in range(4)]).double()
        output = core(inputs, 5, ids)
    assert torch.allclose(found.state_rms, states.square().mean((1, 2, 3, 4, 5)).sqrt(), rtol=1e-5)
    assert torch.allclose(found.cell_rms, states[-1].square().mean((0, -1)).sqrt(), rtol=1e-5)
    spread = (output - output.mean(0)).square().sum(-1).mean().sqrt() / output.square().sum(-1).mean().sqrt()
    assert found.output_spread == pytest.approx(spread.item(), rel=1e-5)


def test_the_gradient_is_that_of_a_change_of_the_state() -> None:
    """By finite differences in float64, at the state after one of two steps."""
    core = stencil(steps=2).double().eval()
    inputs, targets = rows(1).double().expand(2, -1), rows(3)[:1].double().expand(2, -1)
    found = study_signal(core, inputs, targets)
    state, drive = core.state_after(inputs[:1], 1), core.state_after(inputs[:1], 0)[..., :2]

    def cosine(changed: Tensor) -> Tensor:
        kernel = core.kernel
        assert isinstance(kernel, CellKernel)
        last = kernel.advance(changed, drive, 1, 1, 0, torch.arange(1))
        return torch.cosine_similarity(core.output_of(last, inputs[:1]), targets[:1]).squeeze()

    with torch.no_grad():
        steps = 1e-5 * torch.eye(state.numel(), dtype=torch.float64).reshape(-1, *state.shape)
        slopes = torch.stack([(cosine(state + step) - cosine(state - step)) / 2e-5 for step in steps])
    assert found.gradient is not None
    assert found.gradient[1].item() == pytest.approx(slopes.norm().item(), rel=1e-5)


def test_blocks_change_nothing_and_rows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    core, inputs, targets = stencil(), rows(600), rows(601)[:600]
    whole = study_signal(core, inputs, targets)
    assert whole.rows == signal.ROWS
    monkeypatch.setattr(signal, "_VALUES", 1)
    by_row = study_signal(core, inputs, targets)
    assert whole.gradient is not None
    assert by_row.gradient is not None
    assert torch.allclose(whole.gradient, by_row.gradient, rtol=1e-5)
    assert torch.allclose(whole.importance, by_row.importance, atol=1e-6)
    monkeypatch.setattr(signal, "_ABLATIONS", 1)
    assert study_signal(core, inputs, targets).ablated_rows == 8
