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
    fault can be computed again; its number is ``first_bad``, read when it suits. With ``skip``, and in float16, where
    the scale of the loss is found by letting some steps overflow, training goes on.
    """

    optimizer: torch.optim.Optimizer
    parameters: Sequence[nn.Parameter]
    options: Train
    device: torch.device
    goes_on: bool = field(init=False)
    _clip: float = field(init=False)
    _scaler: torch.amp.GradScaler | None = field(init=False)
    _first_bad: Tensor = field(init=False)
    _skipped: Tensor = field(init=False)
    _norms: Tensor = field(init=False)

    def __attrs_post_init__(self) -> None:
        half = self.options.precision == "float16"
        self.goes_on = half or self.options.non_finite == "skip"
        self._clip = float("inf") if self.options.clip_norm is None else self.options.clip_norm
        self._scaler = torch.amp.GradScaler(self.device.type) if half else None
        self._first_bad = torch.zeros((), dtype=torch.int64, device=self.device)
        self._skipped = torch.zeros((), device=self.device)
        self._norms = torch.zeros((), device=self.device)

    def backward(self, loss: Tensor) -> None:
        """Adds the gradient of a part's share of the loss."""
        (loss if self._scaler is None else self._scaler.scale(loss)).backward()

    def unscale(self) -> None:
        """Once per step, when its gradients are complete and before anything looks at them."""
        if self._scaler is not None:
            self._scaler.unscale_(self.optimizer)

    def step(self, number: int) -> Tensor:
        """Takes optimiser step ``number`` (from 1), if it may be. Bool ``[]`` on the device: whether its gradient is
        finite.
        """
        norm = nn.utils.clip_grad_norm_(self.parameters, self._clip)
        finite = norm.isfinite()
        if self.goes_on:
            masked = (~finite).to(torch.float32)
            self._skipped += masked
            self._norms += torch.where(finite, norm, 0.0)
        else:
            self._first_bad += torch.where(finite | (self._first_bad != 0), 0, number)
            masked = (self._first_bad != 0).to(torch.float32)
            self._norms += norm
        self.optimizer.found_inf = masked  # type: ignore[attr-defined]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self._scaler is not None:
            self._scaler.update()
        return finite

    def first_bad(self) -> int | None:
        """The step whose gradient was not finite, if training cannot go on after it. Waits for the device."""
        return int(self._first_bad) or None

    def figures(self, steps: int) -> dict[str, float]:
        """Of the ``steps`` steps since the last call: mean norm of the gradient before clipping, and how many steps
        were skipped. TrainingError where float16 cannot hold the gradients at any scale.
        """
        skipped = int(self._skipped)
        found = {"grad_norm": float(self._norms) / max(1, steps - skipped)}
        if self.goes_on:
            found["skipped_steps"] = skipped
        if self._scaler is not None:
            found["loss_scale"] = scale = self._scaler.get_scale()
            if scale < _LEAST_SCALE:
                raise TrainingError(
                    f"gradients overflow float16 however the loss is scaled (its scale is {scale:g}): set "
                    f"train.precision to bfloat16 or float32, or lower train.optimizer.lr"
                )
        self._skipped.zero_()
        self._norms.zero_()
        return found

    def state_dict(self) -> dict[str, Any]:
        return {
            "optimizer": self.optimizer.state_dict(),
            "scaler": None if self._scaler is None else self._scaler.state_dict(),
            "skipped": self._skipped,
            "norms": self._norms,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        if self._scaler is not None:
            self._scaler.load_state_dict(state["scaler"])
        self._skipped.copy_(state["skipped"])
        self._norms.copy_(state["norms"])
