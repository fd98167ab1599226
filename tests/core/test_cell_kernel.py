"""The base class of kernels: who computes the rollout, and what is kept of it for the backward pass."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from core_engine_kernels import Gru, Nca, Stencil
from torch import Tensor, nn

from core_engine import CellKernel, CellLoop, KernelContext

SIZE, CHANNELS, DRIVE, STEPS, BATCH = (3, 2, 2), 4, 2, 5, 3

MEMORY = [None, 1, 2, 4, 5, 100]


class Mix(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(CHANNELS + DRIVE, CHANNELS)

    def forward(self, state: Tensor, drive: Tensor) -> Tensor:
        return state + torch.tanh(self.inner(torch.cat([state, drive], -1)))


KERNELS: dict[str, Any] = {
    "stencil": Stencil(hidden=16, state_noise=0.3),
    "gated": Stencil(hidden=16, update="gated", boundary="periodic", neighbours=26),
    "nca": Nca(hidden=16),
    "gru": Gru(),
    "loop": None,
}


def build(name: str) -> CellKernel:
    """With all parameters away from where they start."""
    context = KernelContext(SIZE, CHANNELS, DRIVE, seed=0)
    kernel: CellKernel = CellLoop(Mix()) if name == "loop" else KERNELS[name].build(context)
    source = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in kernel.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=source) * 0.4)
    return kernel


def inputs(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(2)
    state, drive = (torch.randn(BATCH, *SIZE, width, generator=source).to(dtype) for width in (CHANNELS, DRIVE))
    return state.requires_grad_(), drive.requires_grad_()


def with_gradients(kernel: Any, state: Tensor, drive: Tensor, seed: int = 3) -> list[Tensor]:
    """The result, and the gradients of state, drive and every parameter."""
    result = kernel(state, drive, STEPS, seed, torch.arange(BATCH))
    weights = torch.linspace(-1, 1, result.numel(), dtype=result.dtype).reshape(result.shape)
    return [result.detach(), *torch.autograd.grad((result * weights).sum(), [state, drive, *kernel.parameters()])]


@pytest.mark.parametrize("name", KERNELS)
def test_memory_changes_neither_the_result_nor_a_gradient(name: str) -> None:
    kernel = build(name).double()
    plain = with_gradients(kernel, *inputs(torch.float64))
    assert all(value.ne(0).any() for value in plain)
    for kernel.memory in MEMORY:
        for given, wanted in zip(with_gradients(kernel, *inputs(torch.float64)), plain, strict=True):
            torch.testing.assert_close(given, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["stencil", "nca", "loop"])
def test_memory_is_kept_under_autocast(name: str) -> None:
    kernel = build(name)
    results = []
    for kernel.memory in (None, 2):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            results.append(with_gradients(kernel, *inputs()))
    exact = with_gradients(kernel, *inputs())
    for plain, bounded, single in zip(*results, exact, strict=True):
        assert (bounded - plain).norm() < 2e-2 * plain.norm()
        assert (bounded - single).norm() > 1e-4 * single.norm(), "in bfloat16, computed again or not"


class Kept:
    """What a rollout saves for its backward pass, beyond inputs and parameters: storage -> tensor."""

    def __init__(self, kernel: CellKernel) -> None:
        state, drive = inputs()
        given = {tensor.data_ptr() for tensor in (state, drive, *kernel.parameters())}
        self.tensors: dict[int, Tensor] = {}

        def pack(tensor: Tensor) -> Tensor:
            if tensor.untyped_storage().data_ptr() not in given:
                self.tensors[tensor.untyped_storage().data_ptr()] = tensor.detach()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            self.result = kernel(state, drive, STEPS, 0, torch.arange(BATCH, dtype=torch.int64))

    @property
    def bytes(self) -> int:
        return sum(tensor.untyped_storage().nbytes() for tensor in self.tensors.values())


@pytest.mark.parametrize("name", KERNELS)
def test_the_bound_keeps_every_kth_state_and_no_more(name: str) -> None:
    kernel = build(name)
    one_state = BATCH * math.prod(SIZE) * CHANNELS * 4
    ids = BATCH * 8
    everything = Kept(kernel).bytes
    for kernel.memory in (1, 2, 4, 5, 100):
        # The first state is the caller's.
        states = math.ceil(STEPS / kernel.memory) - 1
        assert Kept(kernel).bytes <= states * one_state + ids, kernel.memory
    kernel.memory = 1
    assert everything > 2 * Kept(kernel).bytes
    kernel.memory = STEPS
    assert Kept(kernel).bytes <= ids


def test_without_gradients_nothing_is_kept() -> None:
    kernel = build("stencil")
    for kernel.memory in (None, 2):
        with torch.no_grad():
            kept = Kept(kernel)
        assert kept.tensors == {}
        assert not kept.result.requires_grad


class Witness(CellKernel):
    """Adds the square of its gain, which is 1, in each step, and notes what it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))
        self.calls: list[tuple[int, int, int, list[int]]] = []

    def advance(
        self, state: Tensor, drive: Tensor, first_step: int, steps: int, seed: int, sample_ids: Tensor
    ) -> Tensor:
        self.calls.append((first_step, steps, seed, sample_ids.tolist()))
        return state + steps * self.gain**2


def witness(memory: int | None, steps: int) -> tuple[list[tuple[int, int]], float]:
    kernel = Witness()
    kernel.memory = memory
    result = kernel(torch.zeros(2, 1, 1, 1, 1), torch.zeros(2, 1, 1, 1, 1), steps, 9, torch.tensor([4, 8]))
    assert {(seed, tuple(ids)) for *_, seed, ids in kernel.calls} <= {(9, (4, 8))}
    return [(first, some) for first, some, *_ in kernel.calls], result[0].item()


def test_steps_are_numbered_through_the_whole_rollout() -> None:
    assert witness(None, 5) == ([(0, 5)], 5)
    assert witness(1, 3) == ([(0, 1), (1, 1), (2, 1)], 3)
    assert witness(2, 5) == ([(0, 2), (2, 2), (4, 1)], 5)
    assert witness(7, 5) == ([(0, 5)], 5)
    assert witness(2, 0) == ([], 0)


def test_all_but_the_kept_states_is_computed_again() -> None:
    kernel = Witness()
    kernel.memory = 2
    kernel(torch.zeros(1, 1, 1, 1, 1), torch.zeros(1, 1, 1, 1, 1), 5, 0, torch.tensor([0])).sum().backward()
    assert sorted(call[:2] for call in kernel.calls) == sorted([(0, 2), (2, 2), (4, 1)] * 2)
    assert kernel.gain.grad == 10


class Doubling:
    """A backend that is no rollout at all, and notes what it is given."""

    tolerance, priority = 0.0, 0

    def __init__(self) -> None:
        self.given: list[Any] = []

    def supports(self, case: object) -> str | None:
        return None

    def rollout(self, spec: object, parameters: Any, state: Tensor, *rest: Any) -> Tensor:
        self.given.append((spec, sorted(parameters), *rest[1:]))
        return 2 * state


def test_a_backend_computes_the_rollout_in_place_of_the_reference() -> None:
    kernel, backend = build("stencil"), Doubling()
    state, drive = inputs()
    kernel.backend, kernel.memory = backend, 3
    assert torch.equal(kernel(state, drive, STEPS, 7, torch.arange(BATCH)), 2 * state)
    ((spec, names, steps, seed, ids, memory),) = backend.given
    assert spec is kernel.spec
    assert names == sorted(name for name, _ in kernel.named_parameters())
    assert (steps, seed, ids.tolist(), memory) == (STEPS, 7, [0, 1, 2], 3)


def test_a_kernel_says_nothing_of_its_backend_in_its_weights() -> None:
    kernel = build("stencil")
    before = list(kernel.state_dict())
    kernel.backend, kernel.backend_name, kernel.memory = Doubling(), "doubling", 2
    assert list(kernel.state_dict()) == before
    other = copy.deepcopy(kernel)
    assert (other.backend_name, other.memory) == ("doubling", 2)
    assert (build("stencil").backend, build("stencil").backend_name) == (None, "reference"), "set on one alone"


@pytest.mark.parametrize("memory", [None, 2])
@pytest.mark.parametrize("name", ["stencil", "nca", "gru"])
@pytest.mark.usefixtures("fresh_compiler")
def test_compiles_without_graph_breaks(name: str, memory: int | None) -> None:
    kernel = build(name)
    kernel.memory = memory
    compiled = torch.compile(kernel, fullgraph=True, backend="aot_eager")
    for given, wanted in zip(with_gradients(compiled, *inputs()), with_gradients(kernel, *inputs()), strict=True):
        torch.testing.assert_close(given, wanted, rtol=1e-4, atol=1e-5)


def test_a_kernel_without_a_reference_cannot_be_made() -> None:
    class Empty(CellKernel):
        pass

    with pytest.raises(TypeError, match="advance"):
        Empty()  # type: ignore[abstract]
