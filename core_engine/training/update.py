"""One optimiser step, taken only where the gradient is finite, without waiting for the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from attrs import define, field
from torch import Tensor, nn

from core_engine.errors import TrainingError
from core_engine.recipe.training import Train

#: Below this scale, it is not the scaling that makes gradients overflow.
_LEAST_SCALE = 1.0


@define(eq=False)
class Updates:
    """Steps ``optimizer``; a step whose gradient holds NaN or infinity leaves weights and optimiser as they are.

    Whether it does is known on the device alone: the optimiser is told by a flag, as
    :class:`torch.amp.GradScaler` tells it. With ``non_finite: stop`` no later step is taken either, so that the one at
    fault can be computed again. With ``skip``, and in float16, where
    the scale of the loss is found by letting some steps overflow, training goes on.
    """

    optimizer: torch.optim.Optimizer
    parameters: Sequence[nn.Parameter]
    options: Train
    device: torch.device
    goes_on: bool = field(init=False)
    _scaler: torch.amp.GradScaler | None = field(init=False)
    _bad: Tensor = field(init=False)
    _one: Tensor = field(init=False)
    _no_gradient: Tensor = field(init=False)

    def __attrs_post_init__(self) -> None:
        half = self.options.precision == "float16"
        self.goes_on = half or self.options.non_finite == "skip"
        self._scaler = torch.amp.GradScaler(self.device.type) if half else None
        self._bad = torch.zeros((), device=self.device)
        self._one = torch.ones((), device=self.device)
        self._no_gradient = torch.zeros((), device=self.device)

    def backward(self, loss: Tensor) -> None:
        """Adds the gradient of a part's share of the loss."""
        (loss if self._scaler is None else self._scaler.scale(loss)).backward()

    def unscale(self) -> None:
        """Once per step, when its gradients are complete and before anything looks at them."""
        if self._scaler is not None:
            self._scaler.unscale_(self.optimizer)

    def step(self) -> Tensor:
        """Takes the step, if it may be. The norm of its gradient before clipping: float32 ``[]``, not finite where the
        step was left out.
        """
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        if not gradients:
            return self._no_gradient  # the loss reaches no parameter, which the result says
        norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        if self.options.clip_norm is not None:
            # Bit for bit clip_grad_norm_, which takes longer: it sorts gradients by device and dtype, twice.
            torch._foreach_mul_(gradients, (self.options.clip_norm / (norm + 1e-6)).clamp(max=1.0))
        if self.goes_on:
            self._bad.zero_()
        # By what GradScaler finds overflow, of the norm alone: the flag is set where it is not finite, never cleared.
        torch._amp_foreach_non_finite_check_and_unscale_([norm], self._bad, self._one)
        self.optimizer.found_inf = self._bad  # type: ignore[attr-defined]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self._scaler is not None:
            self._scaler.update()
        return norm

    def loss_scale(self) -> float | None:
        """Of float16. TrainingError where that cannot hold the gradients at any scale. Waits for the device."""
        if self._scaler is None:
            return None
        scale = self._scaler.get_scale()
        if scale < _LEAST_SCALE:
            raise TrainingError(
                f"gradients overflow float16 however the loss is scaled (its scale is {scale:g}): set "
                f"train.precision to bfloat16 or float32, or lower train.optimizer.lr"
            )
        return scale

    def state_dict(self) -> dict[str, Any]:
        return {
            "optimizer": self.optimizer.state_dict(),
            "scaler": None if self._scaler is None else self._scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        if self._scaler is not None:
            self._scaler.load_state_dict(state["scaler"])
