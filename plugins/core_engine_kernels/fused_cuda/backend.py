"""The fused CUDA backend: which cases it computes, and how it is asked to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import frozen

from core_engine import BackendContext, RolloutCase

if TYPE_CHECKING:
    from torch import Tensor


@frozen
class FusedCuda:
    """Stencil cells in CUDA (tensor cores, sm_80 to sm_120), products in bfloat16, sums and state in float32."""

    def build(self, context: BackendContext) -> FusedCudaBackend:
        return FusedCudaBackend()


class FusedCudaBackend:
    """Computes stencil cells with six neighbours on NVIDIA GPUs. Its products are in bfloat16, so ``auto`` leaves a
    float32 core to the reference: it has to be asked for by name.
    """

    #: Usually below 5e-3. Rounding to bfloat16 moves hidden values across the kink of ``relu``: gradients differ by
    #: 2e-2.
    tolerance = 5e-2
    priority = 10

    def supports(self, case: RolloutCase) -> str | None:
        import torch

        from core_engine_kernels.fused_cuda.limits import refusal
        from core_engine_kernels.stencil.spec import CellSpec

        if not isinstance(case.spec, CellSpec):
            return "it computes stencil cells only"
        if case.device.type == "cuda" and case.dtype != torch.float32:
            return f"its state and parameters are float32, and these are {case.dtype}"
        return refusal(case.spec, case.size, case.batch, case.steps, case.dtype, case.device)

    def rollout(
        self,
        spec: object,
        parameters: Mapping[str, Tensor],
        state: Tensor,
        drive: Tensor,
        steps: int,
        seed: int,
        sample_ids: Tensor,
        memory: int | None,
    ) -> Tensor:
        """See :func:`core_engine_kernels.stencil.op.rollout`."""
        from core_engine_kernels.stencil.op import rollout

        return rollout(spec, parameters, state, drive, steps, seed, sample_ids, memory)  # type: ignore[arg-type]
