"""A run as it is seen on the terminal."""

from __future__ import annotations

import sys

import structlog
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from core_engine import LoggerContext, Record

log = structlog.get_logger("core_engine.loggers.console")

#: What is shown of an evaluation; where it has none of these, all it has. The other loggers keep everything.
MAIN_FIGURES = ("cosine", "cosine_gap", "recall@1", "mrr@10", "within_recall@1")


class ConsoleLogger:
    """A progress bar with training loss, steps per second and remaining time; above it a line for each evaluation.

    While the bar is shown, everything written to ``sys.stderr`` appears above it. Where stderr is not a terminal there
    is no bar, and an evaluation is a log event.
    """

    def __init__(self, context: LoggerContext) -> None:
        self._console = Console(stderr=True)
        self._bar = _Bar(self._console, context) if sys.stderr.isatty() and self._console.is_interactive else None

    def log(self, record: Record) -> None:
        if self._bar is not None:
            self._bar.note(record)
        if record.kind != "evaluation":
            return
        shown = {name: record.values[name] for name in MAIN_FIGURES if name in record.values} or record.values
        if self._bar is None:
            figures = {name: round(float(value), 4) for name, value in shown.items()}
            log.info("evaluation", step=record.step, epoch=record.epoch, **figures)
        else:
            figures_text = "  ".join(f"{name} {value:.4f}" for name, value in shown.items())
            self._console.print(Text(f"epoch {record.epoch:.4g}  step {record.step}  {figures_text}"))

    def progress(self, step: int) -> None:
        if self._bar is not None:
            self._bar.advance_to(step)

    def close(self) -> None:
        """Leaves the bar as it stands and gives stderr back."""
        if self._bar is not None:
            self._bar.stop()


class _Bar:
    """Shown from the first step on, so that what goes before can show progress of its own.

    It is drawn when it is told of a step and not by a thread, which would take time from training on a small machine.
    """

    def __init__(self, console: Console, context: LoggerContext) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[loss]}", markup=False),
            _RateColumn(),
            TimeRemainingColumn(),
            console=console,
            auto_refresh=False,
            redirect_stderr=True,
            # Elsewhere than on the terminal, stdout is a command's output and must stay as it is.
            redirect_stdout=sys.stdout.isatty(),
        )
        self._task = self._progress.add_task(
            context.run_name, total=context.total_steps, completed=context.resumed_step or 0, loss=""
        )

    def advance_to(self, step: int) -> None:
        self._progress.start()
        self._progress.update(self._task, completed=step, refresh=True)

    def note(self, record: Record) -> None:
        self._progress.update(self._task, completed=record.step)
        if record.kind == "train" and "loss" in record.values:
            self._progress.update(self._task, loss=f"loss {record.values['loss']:.4f}")

    def stop(self) -> None:
        self._progress.stop()


class _RateColumn(ProgressColumn):
    """Optimiser steps per second, over the last half minute."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.1f} steps/s", style="progress.data.speed", no_wrap=True)
