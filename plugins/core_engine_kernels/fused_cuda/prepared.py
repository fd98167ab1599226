"""A rollout, prepared for the kernels."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import c_int, c_longlong

import torch
from attrs import frozen
from torch import Tensor

from core_engine.errors import EngineError
from core_engine_kernels.fused_cuda.launcher import Argument, LatticeArgument, Launcher, NoiseArgument
from core_engine_kernels.fused_cuda.packing import Packed, pack, pack_drive
from core_engine_kernels.fused_cuda.plan import Plan, plan
from core_engine_kernels.fused_cuda.variants import variant
from core_engine_kernels.stencil.spec import CellSpec


@frozen(eq=False)
class Prepared:
    """``state``: contiguous ``[B, X, Y, Z, C]``, float32 or bf16. ``drive``: as :func:`pack_drive` gives it."""

    launcher: Launcher
    spec: CellSpec
    plan: Plan
    packed: Packed
    state: Tensor
    drive: Tensor
    sample_ids: Tensor
    seed: int

    @property
    def size(self) -> tuple[int, int, int]:
        x, y, z = self.state.shape[1:4]
        return x, y, z

    @property
    def batch(self) -> int:
        return len(self.state)

    @property
    def cells(self) -> int:
        return self.state.shape[1:4].numel()

    @property
    def lattice(self) -> LatticeArgument:
        return LatticeArgument(*self.size, int(self.spec.periodic))

    @property
    def network(self) -> tuple[Argument, ...]:
        """Drive and weights, in the order in which the kernels take them."""
        packed = self.packed
        return self.drive, packed.input_weight, packed.output_weight, packed.output_bias, packed.position

    def noise(self, first_step: int) -> NoiseArgument:
        return NoiseArgument(self.sample_ids.data_ptr(), self.seed, first_step, self.spec.state_noise)

    def read_by(self, step: int, state: Tensor) -> Tensor:
        """The state that step ``step`` reads, bf16: with its noise, which a float32 ``state`` takes up as well."""
        if not self.spec.state_noise:
            return state.bfloat16()
        kernel = variant("add_noise", self.spec, warps=8)
        noisy = torch.empty_like(state, dtype=torch.bfloat16)
        pairs = state.numel() // 2
        grid = min(-(-pairs // kernel.threads), 16 * self.launcher.gpu.multiprocessors)
        arguments = (state, wide(state), noisy, c_longlong(pairs), c_int(self.cells), self.noise(step))
        self.launcher.launch(kernel, grid, 0, arguments)
        return noisy


def prepare(
    launcher: Launcher,
    spec: CellSpec,
    parameters: Sequence[Tensor],
    state: Tensor,
    drive: Tensor,
    sample_ids: Tensor,
    seed: int,
) -> Prepared:
    """EngineError where there is no plan for the case, or a tensor is not what kernels would take it for."""
    x, y, z = state.shape[1:4]
    _check(spec, parameters, state, drive, sample_ids)
    found = plan(spec, (x, y, z), len(state), launcher.gpu)
    if isinstance(found, str):
        raise EngineError(f"the fused CUDA kernels cannot run this cell: {found}; use backend: reference")
    return Prepared(
        launcher,
        spec,
        found,
        pack(spec, (x, y, z), parameters),
        _aligned(state),
        pack_drive(spec, drive),
        sample_ids.contiguous(),
        seed,
    )


def _check(spec: CellSpec, parameters: Sequence[Tensor], state: Tensor, drive: Tensor, sample_ids: Tensor) -> None:
    """Kernels are given addresses: what is wrong here, they would read as something else."""
    if state.dtype not in (torch.float32, torch.bfloat16):
        raise EngineError(f"the fused CUDA kernels take states in float32 or bfloat16, and this is {state.dtype}")
    x, y, z = state.shape[1:4]
    shapes = list(spec.parameter_shapes((x, y, z)).values())
    if [tuple(parameter.shape) for parameter in parameters] != shapes:
        raise EngineError(f"parameters are {[list(p.shape) for p in parameters]}; this cell has {shapes}")
    if sample_ids.dtype != torch.int64 or sample_ids.shape != state.shape[:1]:
        raise EngineError(f"sample_ids must be int64 [{len(state)}], not {sample_ids.dtype} {list(sample_ids.shape)}")
    for tensor in (drive, sample_ids, *parameters):
        if tensor.device != state.device:
            raise EngineError(
                f"the fused CUDA kernels were given a state on {state.device} and a tensor {list(tensor.shape)} on "
                f"{tensor.device}: move them to one device"
            )


def _aligned(values: Tensor) -> Tensor:
    """In one piece that starts at a multiple of 16 bytes, which kernels read at once; a view may start anywhere."""
    values = values.contiguous()
    return values if values.data_ptr() % 16 == 0 else values.clone()


def wide(values: Tensor) -> c_int:
    """Whether values are float32, as kernels are told."""
    return c_int(values.dtype == torch.float32)
