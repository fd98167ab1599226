"""What a recipe can say of each logger."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Literal

from attrs import field, frozen
from attrs.validators import ge, in_, min_len, optional

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


_NEEDS_MLFLOW = 'needs the package mlflow-skinny: pip install "core-engine[mlflow]"'


@frozen(kw_only=True)
class MLflow:
    """An MLflow run named after the run folder: metrics, and the locked recipe; needs the extra ``mlflow``.

    ``experiment``: the name of MLflow's experiment, which is made where there is none. ``tracking_uri``: where MLflow
    keeps it; None for MLflow's own setting (the environment variable MLFLOW_TRACKING_URI), and where there is none for
    the folder ``mlruns`` of the run folder. Nothing goes over the network unless one of them says so.
    """

    experiment: str = field(default="core-engine", validator=min_len(1))
    tracking_uri: str | None = field(default=None, validator=optional(min_len(1)))

    def check(self) -> Iterator[tuple[str, str]]:
        if find_spec("mlflow") is None:
            yield "type", _NEEDS_MLFLOW
        if re.search("://[^/@]*:[^/@]*@", self.tracking_uri or ""):
            yield (
                "tracking_uri",
                "holds a password, which the locked recipe would show: set the environment variable "
                "MLFLOW_TRACKING_URI instead",
            )

    def build(self, context: LoggerContext) -> Logger:
        """Raises PluginError where MLflow is not installed or cannot be imported, OutputError where its store cannot
        be reached.
        """
        try:
            from core_engine_loggers.mlflow import MLflowLogger
        except ImportError as error:
            raise PluginError(f"logger mlflow {_NEEDS_MLFLOW} ({error})") from error
        return MLflowLogger(context, self.experiment, self.tracking_uri)


_NEEDS_WANDB = 'needs the package wandb: pip install "core-engine[wandb]"'


@frozen(kw_only=True)
class Wandb:
    """A run of Weights & Biases named after the run folder, which holds its files; needs the extra ``wandb``.

    ``project``, ``entity``: where W&B keeps it; None for the user's own default. ``mode``: ``offline`` writes files
    for ``wandb sync``; None for W&B's own setting (the environment variable WANDB_MODE, else online).
    """

    project: str = field(default="core-engine", validator=min_len(1))
    entity: str | None = field(default=None, validator=optional(min_len(1)))
    mode: Literal["online", "offline"] | None = field(default=None, validator=optional(in_(("online", "offline"))))

    def check(self) -> Iterator[tuple[str, str]]:
        if find_spec("wandb") is None:
            yield "type", _NEEDS_WANDB

    def build(self, context: LoggerContext) -> Logger:
        """Raises PluginError where wandb is not installed or cannot be imported, OutputError where no run can be
        begun.
        """
        try:
            from core_engine_loggers.wandb import WandbLogger
        except ImportError as error:
            raise PluginError(f"logger wandb {_NEEDS_WANDB} ({error})") from error
        return WandbLogger(context, self.project, self.entity, self.mode)


@frozen(kw_only=True)
class Trace:
    """``trace.json`` in the run folder: what a few steps did, operation by operation, for Perfetto or chrome://tracing.

    ``skip``: steps before it begins. ``steps``: how many it lasts. The engine tells loggers of steps several times a
    second at most, so that it begins and ends up to a fraction of a second late. Steps outside it are not slowed.
    """

    skip: int = field(default=10, validator=ge(0))
    steps: int = field(default=5, validator=ge(1))

    def build(self, context: LoggerContext) -> Logger:
        from core_engine_loggers.trace import TraceLogger

        return TraceLogger(context, self.skip, self.steps)
