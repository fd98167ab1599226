from __future__ import annotations

import pytest
import torch
from core_engine_kernels import Stencil
from core_engine_reshapes import Linear

from core_engine import EmbeddingProcessor, KernelContext, ReshapeContext
from core_engine.training.activations import state_sizes

SIZE, DIM, STEPS = (3, 2, 2), 12, 12


@pytest.fixture
def core() -> EmbeddingProcessor:
    reshape = Linear().build(ReshapeContext(input_dim=DIM, output_dim=DIM, size=SIZE, seed=0))
    kernel = Stencil(hidden=8).build(KernelContext(size=SIZE, channels=4, drive_channels=1, seed=0))
    for parameter in kernel.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(parameter.numel()))
    return EmbeddingProcessor(
        reshape=reshape, kernel=kernel, input_dim=DIM, output_dim=DIM, size=SIZE, channels=4, steps=STEPS
    )


def test_the_state_is_told_of_from_what_enters_to_the_last_step(core: EmbeddingProcessor) -> None:
    inputs = torch.randn(100, DIM, generator=torch.Generator().manual_seed(1))
    sizes = state_sizes(core, inputs)
    assert [int(name.removeprefix("state_rms/")) for name in sizes] == [0, 2, 3, 4, 6, 8, 9, 10, 12]
    drive = inputs[:64].reshape(64, *SIZE, 1)
    state = torch.cat([drive, torch.zeros(64, *SIZE, 3)], dim=-1)
    with torch.no_grad():
        for step in range(STEPS + 1):
            if f"state_rms/{step}" in sizes:
                assert sizes[f"state_rms/{step}"] == pytest.approx(state.square().mean().sqrt().item(), rel=1e-5)
            state = core.kernel(state, drive, 1, 0, torch.arange(64))
    assert core.training


def test_few_steps_are_all_told_of(core: EmbeddingProcessor) -> None:
    core.steps = 2
    assert list(state_sizes(core, torch.ones(3, DIM))) == ["state_rms/0", "state_rms/1", "state_rms/2"]
