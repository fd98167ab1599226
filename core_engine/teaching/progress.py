"""Encoding as it is seen on the terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

log = structlog.get_logger("core_engine.teaching")

#: Seconds between two log lines where there is no terminal to draw a bar on.
EVERY = 30.0


class EncodingProgress:
    """A context manager: a bar with texts per second and remaining time where stderr is a terminal, else a log line now
    and then. While the bar is shown, what is written to ``sys.stderr`` appears above it.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._started = self._told = time.monotonic()
        console = Console(stderr=True)
        self._bar: Progress | None = None
        if sys.stderr.isatty() and console.is_interactive:
            self._bar = Progress(
                TextColumn("encoding"),
                BarColumn(),
                MofNCompleteColumn(),
                _Rate(),
                TimeRemainingColumn(),
                console=console,
                redirect_stderr=True,
                redirect_stdout=sys.stdout.isatty(),
                transient=True,
            )
            self._task = self._bar.add_task("encoding", total=total)

    def __enter__(self) -> EncodingProgress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, texts: int) -> None:
        """``texts`` more are done."""
        self._done += texts
        if self._bar is not None:
            self._bar.advance(self._task, texts)
            return
        now = time.monotonic()
        if now - self._told >= EVERY and self._done < self._total:
            rate = self._done / (now - self._started)
            remaining = round((self._total - self._done) / rate)
            log.info("encoding", done=self._done, of=self._total, texts_per_s=round(rate, 1), remaining_s=remaining)
            self._told = now


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} texts/s", style="progress.data.speed", no_wrap=True)
