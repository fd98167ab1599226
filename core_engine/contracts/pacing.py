"""How a curriculum grows: which share of the training rows, easiest first, is in use when."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen
from attrs.validators import and_, ge, gt, le


@frozen
class Pacing:
    """The share of rows in use, from ``start`` at the beginning to all of them at the share ``until`` of training.

    With ``p`` the share of training done over ``until``, at most 1 (Platanios et al., 2019, give linear and root)::

        linear:  start + (1 - start) p
        root:    (start^power + (1 - start^power) p)^(1 / power)
        step:    start + (1 - start) floor(p stages) / stages
    """

    shape: Literal["linear", "root", "step"] = "linear"
    start: float = field(default=0.2, validator=and_(gt(0), le(1)))
    until: float = field(default=0.5, validator=and_(gt(0), le(1)))
    power: float = field(default=2.0, validator=ge(1))
    stages: int = field(default=4, validator=ge(1))

    def __attrs_post_init__(self) -> None:
        for option, shape in (("power", "root"), ("stages", "step")):
            default = {"power": 2.0, "stages": 4}[option]
            if self.shape != shape and getattr(self, option) != default:
                raise ValueError(f"{option} has no effect on shape {self.shape}; remove it")

    def share(self, progress: float) -> float:
        """Above 0 to 1, when the share ``progress`` of training is done."""
        done = min(1.0, progress / self.until)
        if self.shape == "root":
            floor = self.start**self.power
            return float((floor + (1 - floor) * done) ** (1 / self.power))
        if self.shape == "step":
            done = int(done * self.stages) / self.stages
        return self.start + (1 - self.start) * done
