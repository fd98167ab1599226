"""What the steps of an epoch were like, collected without an operation a step."""

from __future__ import annotations

import math
from typing import Any

import torch
from attrs import define, field
from torch import Tensor


@define(eq=False)
class Tally:
    """Sums over steps of the gradient's norm and of the loss's figures.

    A step only puts its scalars, which are on the device, into a list; ``read`` fetches them, which waits for the
    device, and adds them up in order: sums do not depend on when that was. A step whose norm is not finite counts for
    nothing else than that.
    """

    steps: int = field(default=0, init=False)
    #: Number of the first step (from 1) whose gradient was not finite, and how many were not; of the steps read.
    first_bad: int | None = field(default=None, init=False)
    bad: int = field(default=0, init=False)
    _rows: int = field(default=0, init=False)
    _norms: float = field(default=0.0, init=False)
    _sums: dict[str, float] = field(factory=dict, init=False)
    _unread: list[tuple[Tensor, dict[str, Tensor], int]] = field(factory=list, init=False)

    def add(self, norm: Tensor, means: dict[str, Tensor], rows: int) -> None:
        """Scalars without gradient: the norm of the step's gradient, and each figure's mean over its rows."""
        self._unread.append((norm, means, rows))

    def read(self) -> None:
        unread, self._unread = self._unread, []
        if not unread:
            return
        norms: list[float] = torch.stack([norm for norm, _, _ in unread]).tolist()
        for norm, (_, _, rows) in zip(norms, unread, strict=True):
            self.steps += 1
            if math.isfinite(norm):
                self._norms += norm
                self._rows += rows
            else:
                self.bad += 1
                self.first_bad = self.first_bad or self.steps
        for name in dict.fromkeys(name for _, means, _ in unread for name in means):
            taken = [
                (norm, means[name], rows) for norm, (_, means, rows) in zip(norms, unread, strict=True) if name in means
            ]
            values: list[float] = torch.stack([value for _, value, _ in taken]).tolist()
            total = self._sums.get(name, 0.0)
            for (norm, _, rows), value in zip(taken, values, strict=True):
                if math.isfinite(norm):
                    total += value * rows
            self._sums[name] = total

    def means(self) -> dict[str, float]:
        """Of the steps read: each figure's mean over their rows, then the mean ``grad_norm``. Empty where no step had a
        finite gradient.
        """
        if not self._rows:
            return {}
        found = {name: total / self._rows for name, total in self._sums.items()}
        return {**found, "grad_norm": self._norms / (self.steps - self.bad)}

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers, of all steps so far."""
        self.read()
        return {
            "steps": self.steps,
            "first_bad": self.first_bad,
            "bad": self.bad,
            "rows": self._rows,
            "norms": self._norms,
            "sums": dict(self._sums),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps, self.first_bad, self.bad = state["steps"], state["first_bad"], state["bad"]
        self._rows, self._norms, self._sums = state["rows"], state["norms"], dict(state["sums"])
        self._unread = []
