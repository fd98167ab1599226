"""Tells loggers and lifecycle hooks what happens in a run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pluggy
from attrs import define, field

from core_engine.contracts.objects import Logger, Record
from core_engine.contracts.run import RunInfo

_PROGRESS_INTERVAL = 0.25  # seconds; redrawing a progress bar takes about a millisecond


@define
class Events:
    """``hooks``: the plugin manager's hook relay, or None where no plugins are loaded."""

    run: RunInfo
    loggers: list[Logger] = field(factory=list)
    hooks: pluggy.HookRelay | None = None
    _next_progress: float = field(default=0.0, init=False)
    _step_hook: Any = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        # Asked once: most runs have no implementation, and then a step pays nothing for the hook.
        if self.hooks is not None and self.hooks.on_step_end.get_hookimpls():
            self._step_hook = self.hooks.on_step_end

    def start(self) -> None:
        if self.hooks is not None:
            self.hooks.on_run_start(run=self.run)

    def step(self, step: int) -> None:
        if self._step_hook is not None:
            self._step_hook(run=self.run, step=step)
        now = time.monotonic()
        if now >= self._next_progress:
            self._next_progress = now + _PROGRESS_INTERVAL
            for logger in self.loggers:
                logger.progress(step)

    def record(self, record: Record) -> None:
        for logger in self.loggers:
            logger.progress(record.step)
            logger.log(record)
        if record.kind == "evaluation" and self.hooks is not None:
            self.hooks.on_evaluation(run=self.run, step=record.step, metrics=record.values)

    def checkpoint(self, step: int, path: Path) -> None:
        if self.hooks is not None:
            self.hooks.on_checkpoint(run=self.run, step=step, path=path)

    def end(self, result: Mapping[str, Any]) -> None:
        if self.hooks is not None:
            self.hooks.on_run_end(run=self.run, result=result)
