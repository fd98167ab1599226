"""The monitored metric: which evaluation was best, and whether to stop."""

from __future__ import annotations

import math

from attrs import define, frozen

from core_engine.contracts.metrics import METRICS, why_not_watch
from core_engine.errors import TrainingError
from core_engine.recipe.training import EarlyStopping


@frozen
class Monitor:
    """A named metric of the validation split. TrainingError at once where the data will not have it."""

    metric: str
    groups: bool

    def __attrs_post_init__(self) -> None:
        reason = None if self.metric == "loss" else why_not_watch(self.metric, self.groups)
        if reason:
            raise TrainingError(f"train.monitor: {reason}")

    def better(self, value: float, than: float | None, by: float = 0.0) -> bool:
        """Whether ``value`` is better by more than ``by``. What is not a number is never better."""
        if math.isnan(value):
            return False
        if than is None:
            return True
        return value > than + by if self.maximise else value < than - by

    def reached(self, value: float, target: float) -> bool:
        return value >= target if self.maximise else value <= target

    @property
    def maximise(self) -> bool:
        return METRICS.get(self.metric, "min") == "max"


@define
class Progress:
    """What has been seen of the monitored metric; saved with checkpoints."""

    best: float | None = None
    best_step: int | None = None
    #: The value that patience measures from: the last one that improved by more than ``min_delta``.
    reference: float | None = None
    waited: int = 0
    last: float | None = None

    def update(self, monitor: Monitor, rules: EarlyStopping | None, value: float, step: int) -> str | None:
        """Takes in one evaluation. The reason to stop, or None."""
        previous, self.last = self.last, value
        if monitor.better(value, self.best):
            self.best, self.best_step = value, step
        if rules is None:
            return None
        if monitor.better(value, self.reference, rules.min_delta):
            self.reference, self.waited = value, 0
        else:
            self.waited += 1
        if rules.target is not None and monitor.reached(value, rules.target):
            return f"{monitor.metric} reached the target {rules.target:g}"
        if rules.patience is not None and self.waited >= rules.patience:
            return f"{monitor.metric} did not improve in {self.waited} evaluations"
        if rules.convergence is not None and previous is not None and abs(value - previous) < rules.convergence:
            return f"{monitor.metric} changed by less than {rules.convergence:g}"
        return None
