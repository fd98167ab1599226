"""A core really learns: the failure this project grew from was one that never did and looked as if."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from core_engine_kernels import Stencil
from core_engine_reshapes import Linear, Projection
from torch import Tensor

from core_engine import EmbeddingProcessor, KernelContext, ReshapeContext

DIM, SIZE, CHANNELS, STEPS = 24, (2, 2, 2), 6, 3


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Operations this small are faster on one thread, and far faster where other processes want the cores too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def task(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Inputs, and targets that mix all dimensions and are not linear in the input."""
    fixed = torch.Generator().manual_seed(100)
    first, second = (torch.randn(DIM, DIM, generator=fixed) / DIM**0.5 for _ in range(2))
    x = torch.randn(n, DIM, generator=torch.Generator().manual_seed(seed)) + 0.5
    return x, torch.tanh(2 * x @ first) @ second - 1


def build(reshape: Any, **options: Any) -> EmbeddingProcessor:
    built = reshape.build(ReshapeContext(DIM, DIM, SIZE, seed=0))
    kernel = Stencil(hidden=32, **options).build(KernelContext(SIZE, CHANNELS, built.channels, seed=0))
    return EmbeddingProcessor(
        reshape=built, kernel=kernel, input_dim=DIM, output_dim=DIM, size=SIZE, channels=CHANNELS, steps=STEPS
    )


def train(core: EmbeddingProcessor, inputs: Tensor, targets: Tensor, steps: int = 300) -> set[str]:
    """Plain torch. Returns the names of the parameters that got a gradient other than zero."""
    core.fit(inputs, targets)
    core.train()
    optimizer = torch.optim.Adam([p for p in core.parameters() if p.requires_grad], lr=5e-3)
    order = torch.Generator().manual_seed(0)
    reached = set()
    for step in range(steps):
        rows = torch.randint(len(inputs), (64,), generator=order)
        loss = (core(inputs[rows], step, rows) - targets[rows]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        reached |= {name for name, p in core.named_parameters() if p.grad is not None and p.grad.ne(0).any()}
        optimizer.step()
    core.eval()
    return reached


def error(core: EmbeddingProcessor, inputs: Tensor, targets: Tensor) -> float:
    with torch.no_grad():
        return (core(inputs) - targets).square().mean().item()


@pytest.mark.parametrize(
    ("reshape", "options"),
    [
        (Linear(channels=3), {}),
        (Linear(channels=3), {"update": "gated", "boundary": "periodic", "activation": "silu"}),
        (Linear(channels=3), {"position": False, "state_noise": 0.05}),
        (Projection(channels=3), {}),
        (Projection(channels=3, init="principal", rank=2), {"state_noise": 0.05}),
    ],
)
def test_a_trained_core_beats_the_mean_shift_on_held_out_rows(reshape: Any, options: dict[str, Any]) -> None:
    inputs, targets = task(2000, seed=0)
    held_out = task(500, seed=1)
    core = build(reshape, **options)
    core.fit(inputs, targets)
    mean_shift = error(core, *held_out)
    constant = (held_out[1] - targets.mean(0)).square().mean().item()
    reached = train(core, inputs, targets)
    # Better than the start, and than the best constant, which knows nothing of the input.
    assert error(core, *held_out) < 0.7 * min(mean_shift, constant)
    assert reached == {name for name, _ in core.named_parameters()}
    with torch.no_grad():
        assert (core(held_out[0]) - held_out[0]).norm() > 0.5 * held_out[0].norm()


def test_shuffled_targets_teach_nothing() -> None:
    inputs, targets = task(2000, seed=0)
    held_out = task(500, seed=1)
    core = build(Linear(channels=3))
    shuffled = targets[torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))]
    train(core, inputs, shuffled)
    assert error(core, *held_out) > 0.95 * (held_out[1] - targets.mean(0)).square().mean().item()


def test_the_reshape_alone_does_worse_than_with_its_lattice() -> None:
    inputs, targets = task(2000, seed=0)
    held_out = task(500, seed=1)
    errors = []
    for frozen in (False, True):
        core = build(Projection(channels=3, init="principal", rank=2))
        core.kernel.requires_grad_(not frozen)
        train(core, inputs, targets)
        errors.append(error(core, *held_out))
    assert errors[0] < 0.8 * errors[1]


def test_state_noise_is_survived_by_training_and_not_without() -> None:
    """Copying does not suffice against state noise: the cells have to hold their values against it."""
    inputs, _ = task(2000, seed=0)
    low_rank = inputs[:, :3] @ torch.randn(3, DIM, generator=torch.Generator().manual_seed(2))
    core = build(Linear(channels=3), state_noise=0.5)
    core.fit(low_rank, low_rank)
    untrained = error(core, low_rank, low_rank)
    train(core, low_rank, low_rank)
    assert error(core, low_rank, low_rank) < 0.4 * untrained
