"""Where the time of training steps goes."""

from __future__ import annotations

import time

import torch
from attrs import define, field


@define
class Clock:
    """``lap(name)`` counts the time since the lap before to ``name``. Off, it does nothing.

    On, it waits for the device at each lap, since otherwise the time of all that was asked for would count to whoever
    waits first.
    """

    device: torch.device = field(factory=lambda: torch.device("cpu"))
    on: bool = False
    #: Seconds by what they went to.
    seconds: dict[str, float] = field(factory=dict, init=False)
    _since: float = field(factory=time.perf_counter, init=False)

    def lap(self, name: str | None) -> None:
        """None: to nothing."""
        if not self.on:
            return
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        if name is not None:
            self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now
