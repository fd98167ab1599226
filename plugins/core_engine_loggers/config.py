"""What a recipe can say of each logger: so far, only that it is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from attrs import frozen

from core_engine import Logger, LoggerContext
from core_engine.errors import PluginError


@frozen
class Console:
    """Progress bar with rate and remaining time on stderr, and a line for each evaluation.

    Where stderr is not a terminal there is no bar, and evaluations are ordinary log events.
    """

    def build(self, context: LoggerContext) -> Logger:
        from core_engine_loggers.console import ConsoleLogger

        return ConsoleLogger(context)


@frozen
class Jsonl:
    """``metrics.jsonl`` in the run folder: one JSON object for each record."""

    def build(self, context: LoggerContext) -> Logger:
        from core_engine_loggers.jsonl_file import JsonlLogger

        return JsonlLogger(context)


@frozen
class Csv:
    """``metrics.csv`` in the run folder: one row for each value."""

    def build(self, context: LoggerContext) -> Logger:
        from core_engine_loggers.csv_file import CsvLogger

        return CsvLogger(context)


_NEEDS_TENSORBOARD = 'needs the package tensorboard: pip install "core-engine[tensorboard]"'


@frozen
class TensorBoard:
    """TensorBoard events in the folder ``tensorboard`` of the run folder; needs the extra ``tensorboard``."""

    def check(self) -> Iterator[tuple[str, str]]:
        if find_spec("tensorboard") is None:
            yield "type", _NEEDS_TENSORBOARD

    def build(self, context: LoggerContext) -> Logger:
        """Raises PluginError where tensorboard is not installed or cannot be imported."""
        try:
            from core_engine_loggers.tensorboard import TensorBoardLogger
        except ImportError as error:
            raise PluginError(f"logger tensorboard {_NEEDS_TENSORBOARD} ({error})") from error
        return TensorBoardLogger(context)
