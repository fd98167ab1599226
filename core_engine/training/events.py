"""Tells loggers and lifecycle hooks what happens in a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pluggy
from attrs import define, field

from core_engine.contracts.objects import Logger, Record
from core_engine.contracts.run import RunInfo
from core_engine.training.clock import Clock

_PROGRESS_INTERVAL = 0.25  # seconds; redrawing a progress bar takes about a millisecond


@define
class Events:
    """``manager``: holds the plugins whose hooks are called; None where none are. ``clock``: is told of what each
    logger, and each plugin's ``on_step_end``, took.
    """

    run: RunInfo
    loggers: list[Logger] = field(factory=list)
    manager: pluggy.PluginManager | None = None
    clock: Clock = field(factory=Clock)
    _next_progress: float = field(default=0.0, init=False)
    _step_hooks: list[tuple[str, Callable[..., object]]] = field(factory=list, init=False)

    def start(self) -> None:
        self._step_hooks = self._find_step_hooks()
        if self.manager is not None:
            self.manager.hook.on_run_start(run=self.run)

    def _find_step_hooks(self) -> list[tuple[str, Callable[..., object]]]:
        """Asked once: most runs have no implementation, and then a step pays nothing for the hook."""
        if self.manager is None:
            return []
        implementations = self.manager.hook.on_step_end.get_hookimpls()
        if not self.clock.on:
            return [("hooks", self.manager.hook.on_step_end)] if implementations else []
        # Each by itself, so that its time can be told.
        plugins = {implementation.plugin_name: implementation.plugin for implementation in implementations}
        return [
            (
                f"hook of {name}",
                self.manager.subset_hook_caller("on_step_end", [p for p in plugins.values() if p is not plugin]),
            )
            for name, plugin in plugins.items()
        ]

    def step(self, step: int) -> None:
        for name, hook in self._step_hooks:
            hook(run=self.run, step=step)
            self.clock.lap(name)
        now = time.monotonic()
        if now >= self._next_progress:
            self._next_progress = now + _PROGRESS_INTERVAL
            for logger in self.loggers:
                logger.progress(step)
                self.clock.lap(f"logger {type(logger).__name__}")

    def record(self, record: Record) -> None:
        for logger in self.loggers:
            logger.progress(record.step)
            logger.log(record)
            self.clock.lap(f"logger {type(logger).__name__}")
        if record.kind == "evaluation" and self.manager is not None:
            self.manager.hook.on_evaluation(run=self.run, step=record.step, metrics=record.values)

    def checkpoint(self, step: int, path: Path) -> None:
        if self.manager is not None:
            self.manager.hook.on_checkpoint(run=self.run, step=step, path=path)

    def end(self, result: Mapping[str, Any]) -> None:
        if self.manager is not None:
            self.manager.hook.on_run_end(run=self.run, result=result)
