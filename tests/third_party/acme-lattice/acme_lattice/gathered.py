from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from core_engine_kernels.stencil.spec import CellSpec
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from core_engine import RolloutCase
from core_engine.errors import EngineError


class GatheredBackend:
    """Plain stencil cells: each neighbourhood is written down, and multiplied in one product."""

    tolerance = 1e-5
    priority = 1

    def supports(self, case: RolloutCase) -> str | None:
        spec = case.spec
        if not isinstance(spec, CellSpec):
            return "it computes stencil cells only"
        if (spec.activation, spec.update, spec.boundary, spec.state_noise) != ("gelu", "residual", "zero", 0.0):
            return "it computes residual gelu cells without noise, with a zero boundary"
        return None

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
        if not isinstance(spec, CellSpec):
            raise EngineError(f"backend 'gathered' computes stencil cells, not {spec!r}")
        constant = F.linear(drive, parameters["drive_weight"], parameters["hidden_bias"])
        if spec.position:
            constant = constant + parameters["position"]
        weight = parameters["state_weight"].flatten(1)

        def advance(state: Tensor, steps: int) -> Tensor:
            x, y, z = state.shape[1:4]
            for _ in range(steps):
                padded = F.pad(state, (0, 0, 1, 1, 1, 1, 1, 1))
                around = [
                    padded[:, 1 + dx : 1 + dx + x, 1 + dy : 1 + dy + y, 1 + dz : 1 + dz + z]
                    for dx, dy, dz in spec.offsets
                ]
                hidden = F.gelu(F.linear(torch.cat(around, -1), weight) + constant)
                state = state + F.linear(hidden, parameters["update_weight"], parameters["update_bias"])
            return state

        if memory is None:
            return advance(state, steps)
        for first in range(0, steps, memory):
            some = min(memory, steps - first)
            state = checkpoint(advance, state, some, use_reentrant=False, preserve_rng_state=False)
        return state
