"""The fused CPU backend: which cases it computes, and how it is asked to."""

from __future__ import annotations

from attrs import frozen

from core_engine import BackendContext, RolloutCase
from core_engine_kernels.stencil.fused import FusedBackend

#: The sizes there is code for; source/case.h has the same bounds.
CHANNELS = (8, 16, 32, 64)
HIDDEN = (32, 64, 96, 128)


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
        from core_engine_kernels.stencil.spec import CellSpec

        spec = case.spec
        if not isinstance(spec, CellSpec):
            return "it computes stencil cells only"
        if case.device.type != "cpu":
            return f"it computes on the CPU, and this is {case.device}"
        if case.dtype != torch.float32:
            return f"it computes in float32, and this is {case.dtype}"
        if spec.channels not in CHANNELS:
            return f"{spec.channels} channels: it computes {_or(CHANNELS)}"
        if spec.hidden not in HIDDEN:
            return f"a hidden layer of {spec.hidden}: it computes {_or(HIDDEN)}"
        if spec.drive_channels > CHANNELS[-1]:
            return f"{spec.drive_channels} drive channels: it computes up to {CHANNELS[-1]}"
        try:
            instruction_sets()
        except LibraryMissingError as error:
            return str(error)
        return None


def _or(numbers: tuple[int, ...]) -> str:
    return f"{', '.join(map(str, numbers[:-1]))} or {numbers[-1]}"
