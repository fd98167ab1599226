"""The CUDA source, run on the CPU by emulator.h, against the reference in float64.

Two comparisons: with the exact reference, within what the precision contract allows, and with one that rounds to bf16
where the kernels do, where only float32 and a rare flip of a rounding remain.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from core_engine_kernels.fused_cuda import forward_pass
from core_engine_kernels.fused_cuda.plan import Gpu
from core_engine_kernels.stencil.spec import CellSpec
from cuda_cases import SEED, CudaCase, errors, exact, make_case, matched, run_case
from cuda_emulator import GPU, Emulator

CONTRACT = 5e-3
MATCHED = 1e-3
STEPWISE = Gpu(GPU.multiprocessors, GPU.shared, resident=False)
ORDINARY, ADVERSARIAL = 0, 4
BF16, FLOAT = torch.bfloat16, torch.float32

# name: spec, lattice, batch, steps, every, dtype, adversarial order
RESIDENT = {
    "plain": (CellSpec(16, 1, position=False), (3, 5, 7), 3, 4, 1, FLOAT, ORDINARY),
    "large": (CellSpec(16, 1), (8, 8, 12), 3, 2, 1, BF16, ADVERSARIAL),
    "one cell": (CellSpec(16, 3, boundary="periodic", state_noise=0.3), (1, 1, 1), 40, 4, 4, FLOAT, ADVERSARIAL),
    "gelu_tanh gated": (
        CellSpec(16, 15, 64, "gelu_tanh", "gated", boundary="periodic", state_noise=0.3),
        (2, 3, 4),
        9,
        4,
        2,
        FLOAT,
        ADVERSARIAL,
    ),
    "silu gated narrow": (CellSpec(16, 16, 32, "silu", "gated"), (3, 5, 7), 2, 3, 3, FLOAT, ADVERSARIAL),
    "relu": (CellSpec(32, 5, 64, "relu"), (2, 3, 4), 5, 2, 1, FLOAT, ADVERSARIAL),
    "default core": (CellSpec(32, 24, 128), (4, 2, 2), 20, 4, 1, FLOAT, ADVERSARIAL),
    "wide": (CellSpec(64, 0, 64, state_noise=0.1), (4, 6, 10), 2, 3, 2, BF16, ADVERSARIAL),
}
STEP_BY_STEP = {
    "plain": (CellSpec(16, 1, position=False), (3, 5, 7), 3, 3, 1, FLOAT, ORDINARY),
    "large": (CellSpec(16, 1), (8, 8, 12), 3, 2, 1, BF16, ADVERSARIAL),
    "noise": (CellSpec(16, 5, 32, "silu", "gated", boundary="periodic", state_noise=0.2), (5, 6, 7), 3, 4, 3, FLOAT, 4),
    "one cell": (CellSpec(16, 3, boundary="periodic", state_noise=0.3), (1, 1, 1), 12, 3, 3, FLOAT, ADVERSARIAL),
    "wide": (CellSpec(64, 5, 64), (2, 3, 4), 2, 5, 2, FLOAT, ADVERSARIAL),
}


def check(case: CudaCase, emulator: Emulator) -> None:
    result = run_case(emulator, case)
    rounding = matched(case)
    for name in ("final", "state", "drive"):  # those in the dtype of the state
        rounding[name] = rounding[name].to(case.state.dtype)
    # The slope of ReLU jumps: where rounding moves a hidden unit across zero, its gradient is another.
    if case.spec.activation != "relu":
        for name, error in errors(result, exact(case)).items():
            assert error <= CONTRACT, f"{name} is {error:.1e} from the exact reference"
    for name, error in errors(result, rounding).items():
        assert error <= MATCHED, f"{name} is {error:.1e} from the reference with the same roundings"


@pytest.mark.parametrize("name", RESIDENT)
def test_resident(name: str, emulator_folder: Path) -> None:
    *arguments, seed = RESIDENT[name]
    emulator = Emulator(emulator_folder, seed)
    check(make_case(*arguments), emulator)
    assert {variant.kernel for variant in emulator.launched} == {"forward_resident", "backward_resident"}


@pytest.mark.parametrize("name", STEP_BY_STEP)
def test_stepwise(name: str, emulator_folder: Path) -> None:
    *arguments, seed = STEP_BY_STEP[name]
    emulator = Emulator(emulator_folder, seed, STEPWISE)
    check(make_case(*arguments), emulator)
    kernels = {variant.kernel for variant in emulator.launched} - {"add_noise"}
    assert kernels == {"forward_step", "backward_step", "backward_step_states"}


def test_the_passes_may_go_by_different_regimes(emulator_folder: Path) -> None:
    emulator = Emulator(emulator_folder, ADVERSARIAL)
    check(make_case(CellSpec(64, 2, 32, position=False), (5, 8, 10), 1, 3, 2), emulator)
    assert {variant.kernel for variant in emulator.launched} == {"forward_step", "backward_resident"}


@pytest.mark.parametrize("gpu", [GPU, STEPWISE], ids=["resident", "stepwise"])
def test_orders_of_warps_and_blocks_give_equal_bits(gpu: Gpu, emulator_folder: Path) -> None:
    case = make_case(CellSpec(16, 3, 64, update="gated"), (3, 5, 7), 3, 2)
    runs = [run_case(Emulator(emulator_folder, seed, gpu), case) for seed in (0, 1, 2)]
    for other in runs[1:]:
        assert all(torch.equal(runs[0][name], value) for name, value in other.items())


def test_samples_do_not_depend_on_their_batch(emulator_folder: Path) -> None:
    case = make_case(CellSpec(16, 3, state_noise=0.3), (2, 3, 4), 7, 3)
    emulator = Emulator(emulator_folder)

    def final(first: int, last: int) -> torch.Tensor:
        chosen = slice(first, last)
        state, drive, ids = case.state[chosen], case.drive[chosen], case.sample_ids[chosen]
        return forward_pass.run(emulator, case.spec, case.parameters, state, drive, ids, case.steps, SEED, 1, False)[0]

    assert torch.equal(final(0, 7), torch.cat([final(0, 3), final(3, 7)]))


def test_nothing_is_kept_where_no_gradient_is_asked(emulator_folder: Path) -> None:
    case = make_case(CellSpec(16, 1, position=False), (3, 5, 7), 3, 4)
    arguments = (case.spec, case.parameters, case.state, case.drive, case.sample_ids, case.steps, SEED, 1)
    final, kept = forward_pass.run(Emulator(emulator_folder), *arguments, False)
    assert kept.shape == (0, *case.state.shape)
    assert torch.equal(final, forward_pass.run(Emulator(emulator_folder), *arguments, True)[0])


@pytest.mark.parametrize("drive_channels", [0, 3])
def test_gradients_lie_in_memory_of_their_own(drive_channels: int, emulator_folder: Path) -> None:
    case = make_case(CellSpec(16, drive_channels, 32, update="gated"), (2, 3, 4), 2, 2)
    results = list(run_case(Emulator(emulator_folder), case).values())
    # PyTorch asks both of an operator: it is told the strides beforehand, and refuses results that share memory.
    assert all(result.is_contiguous() for result in results)
    assert len({result.untyped_storage().data_ptr() for result in results}) == len(results)


def test_inputs_are_left_alone(emulator_folder: Path) -> None:
    case = make_case(CellSpec(16, 1, position=False, state_noise=0.5), (2, 3, 4), 2, 2)
    inputs = [case.state, case.drive, case.grad, case.sample_ids, *case.parameters]
    before = [value.clone() for value in inputs]
    run_case(Emulator(emulator_folder, gpu=STEPWISE), case)
    run_case(Emulator(emulator_folder), case)
    assert all(torch.equal(*pair) for pair in zip(inputs, before, strict=True))
