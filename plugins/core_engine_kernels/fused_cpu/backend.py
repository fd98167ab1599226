"""The fused CPU backend: which cases it computes, and how it is asked to."""

from __future__ import annotations

from attrs import frozen

from core_engine import BackendContext, RolloutCase
from core_engine_kernels.stencil.fused import FusedBackend


@frozen
class FusedCpu:
    """Stencil cells in C++ (AVX-512, AVX2 or portable), all steps in one call, float32."""

    def build(self, context: BackendContext) -> FusedCpuBackend:
        return FusedCpuBackend()


class FusedCpuBackend(FusedBackend):
    """Computes stencil cells with 8, 16, 32 or 64 channels and a hidden layer of 32, 64, 96 or 128, in float32."""

    #: Usually below 1e-6. Where an activation has a kink, a hidden value within rounding of it may fall on either side.
    tolerance = 1e-3

    def supports(self, case: RolloutCase) -> str | None:
        import torch

        from core_engine_kernels.fused_cpu.library import LibraryMissingError, instruction_sets
        from core_engine_kernels.fused_cpu.limits import refusal
        from core_engine_kernels.stencil.spec import CellSpec

        spec = case.spec
        if not isinstance(spec, CellSpec):
            return "it computes stencil cells only"
        if case.device.type != "cpu":
            return f"it computes on the CPU, and this is {case.device}"
        if case.dtype != torch.float32:
            return f"it computes in float32, and this is {case.dtype}"
        if (reason := refusal(spec)) is not None:
            return reason
        try:
            instruction_sets()
        except LibraryMissingError as error:
            return str(error)
        return None
