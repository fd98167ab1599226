"""The fused CUDA backend: which cases it computes, and how it is asked to."""

from __future__ import annotations

from attrs import frozen

from core_engine import BackendContext, RolloutCase
from core_engine_kernels.stencil.fused import FusedBackend


@frozen
class FusedCuda:
    """Stencil cells in CUDA (tensor cores, sm_80 to sm_120), products in bfloat16, sums and state in float32."""

    def build(self, context: BackendContext) -> FusedCudaBackend:
        return FusedCudaBackend()


class FusedCudaBackend(FusedBackend):
    """Computes stencil cells with six neighbours on NVIDIA GPUs. Its products are in bfloat16, so ``auto`` leaves a
    float32 core to the reference: it has to be asked for by name.
    """

    #: Usually below 5e-3. Rounding to bfloat16 moves hidden values across the kink of ``relu``: gradients differ by
    #: 2e-2.
    tolerance = 5e-2

    def supports(self, case: RolloutCase) -> str | None:
        import torch

        from core_engine_kernels.fused_cuda.limits import refusal
        from core_engine_kernels.stencil.spec import CellSpec

        if not isinstance(case.spec, CellSpec):
            return "it computes stencil cells only"
        if case.device.type == "cuda" and case.dtype != torch.float32:
            return f"its state and parameters are float32, and these are {case.dtype}"
        return refusal(case.spec, case.size, case.batch, case.steps, case.dtype, case.device)
