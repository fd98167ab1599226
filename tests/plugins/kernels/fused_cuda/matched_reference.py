"""The rollout and its gradient in float64, rounded to bf16 exactly where the kernels round: what remains is float32.

Plain loops over steps and neighbours, written from StencilCell's equations and not from the kernels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from core_engine_kernels.stencil.spec import CellSpec
from torch import Tensor

from core_engine.core.noise import normal


def rounded(values: Tensor) -> Tensor:
    """To bf16 and back; by way of float32, as the kernels do."""
    return values.float().bfloat16().double()


def _shift(values: Tensor, offset: Sequence[int], periodic: bool) -> Tensor:
    """``result[:, x] = values[:, x + offset]``, of ``[B, X, Y, Z, n]``."""
    for axis, step in enumerate(offset, start=1):
        if not step:
            continue
        values = values.roll(-step, axis)
        if not periodic:
            values = values.clone()
            values.select(axis, -1 if step > 0 else 0).zero_()
    return values


def act(name: str, z: Tensor) -> tuple[Tensor, Tensor]:
    """Value and derivative."""
    z = z.detach().requires_grad_()
    functions = {
        "gelu": torch.nn.functional.gelu,
        "gelu_tanh": lambda v: torch.nn.functional.gelu(v, approximate="tanh"),
        "relu": torch.nn.functional.relu,
        "silu": torch.nn.functional.silu,
    }
    with torch.enable_grad():
        value = functions[name](z)
        (derivative,) = torch.autograd.grad(value.sum(), z)
    return value.detach(), derivative


class Matched:
    """One case; ``parameters`` as the kernels are given them."""

    def __init__(
        self, spec: CellSpec, parameters: Sequence[Tensor], state: Tensor, drive: Tensor, ids: Tensor, seed: int
    ) -> None:
        self.spec, self.state, self.ids, self.seed = spec, state.double(), ids, seed
        size = tuple(state.shape[1:4])
        self.named = dict(zip(spec.parameter_shapes(size), parameters, strict=True))
        weights = {name: rounded(value) for name, value in self.named.items()}
        self.into = weights["state_weight"]
        self.drive = rounded(drive)
        self.to_drive = weights["drive_weight"]
        self.constant = self.drive @ self.to_drive.t() + weights["hidden_bias"]
        if spec.position:
            self.constant = self.constant + weights["position"]
        self.out, self.bias = weights["update_weight"], self.named["update_bias"].double()
        if spec.gated:
            self.out = torch.cat([self.out, weights["gate_weight"]])
            self.bias = torch.cat([self.bias, self.named["gate_bias"].double()])

    def _read(self, state: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """State with noise, and what neighbours read of it."""
        if self.spec.state_noise:
            noise = normal(state.shape, self.seed, self.ids, step, torch.float32, state.device)
            state = state + self.spec.state_noise * noise.double()
        return state, rounded(state)

    def _network(self, read: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """z, act(z) rounded, and what comes out."""
        z = self.constant.clone()
        for k, offset in enumerate(self.spec.offsets):
            z += _shift(read, offset, self.spec.periodic) @ self.into[:, k].t()
        hidden = rounded(act(self.spec.activation, z)[0])
        return z, hidden, hidden @ self.out.t() + self.bias

    def rollout(self, state: Tensor, first_step: int, steps: int) -> list[Tensor]:
        """The states that enter each step, and the last."""
        states = [state]
        for step in range(first_step, first_step + steps):
            state, read = self._read(state, step)
            update = self._network(read)[2]
            if self.spec.gated:
                update, gate = update.chunk(2, dim=-1)
                update = torch.sigmoid(gate) * update
            state = state + update
            states.append(state)
        return states

    def gradients(self, grad: Tensor, steps: int, every: int) -> dict[str, Tensor]:
        """Of ``state``, ``drive`` and every parameter; ``every`` says which states are kept, in bf16."""
        through = self.rollout(self.state, 0, steps)
        sums = {name: torch.zeros_like(value, dtype=torch.float64) for name, value in self.named.items()}
        sums["drive"] = torch.zeros_like(self.drive)
        grad = grad.double()
        for step in reversed(range(steps)):
            first = step // every * every
            start = rounded(through[first]) if first else self.state
            entered = start if step == first else rounded(self.rollout(start, first, step - first)[-1])
            grad = self._step_back(entered, step, grad, sums)
        return {"state": grad, **sums}

    def _step_back(self, state: Tensor, step: int, grad: Tensor, sums: dict[str, Tensor]) -> Tensor:
        spec = self.spec
        read = self._read(state, step)[1]
        z, hidden, out = self._network(read)
        update = grad
        if spec.gated:
            first, gate = out[..., : spec.channels], torch.sigmoid(out[..., spec.channels :])
            update = torch.cat([grad * gate, grad * first * gate * (1 - gate)], dim=-1)
        names = ["update", "gate"] if spec.gated else ["update"]
        for name, part in zip(names, update.split(spec.channels, dim=-1), strict=True):
            sums[f"{name}_weight"] += torch.einsum("bxyzc,bxyzh->ch", rounded(part), hidden)
            sums[f"{name}_bias"] += part.sum((0, 1, 2, 3))
        exact = (rounded(update) @ self.out) * act(spec.activation, z)[1]
        dz = rounded(exact)
        sums["hidden_bias"] += dz.sum((0, 1, 2, 3))
        sums["drive_weight"] += torch.einsum("bxyzh,bxyze->he", dz, self.drive)
        sums["drive"] += dz @ self.to_drive
        if spec.position:
            sums["position"] += exact.sum(0)
        for k, offset in enumerate(spec.offsets):
            sums["state_weight"][:, k] += torch.einsum("bxyzh,bxyzc->hc", dz, _shift(read, offset, spec.periodic))
            grad = grad + _shift(dz, [-step for step in offset], spec.periodic) @ self.into[:, k]
        return grad
