"""Every error a user can cause. The command line prints the message and exits with code 2, without a traceback."""

from __future__ import annotations

from collections.abc import Sequence


class EngineError(Exception):
    """Base class. The message says what is wrong, where, and what to do about it."""


class RecipeError(EngineError):
    """A recipe that cannot be run; ``problems`` holds one line for each thing that is wrong with it."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


class PluginError(EngineError):
    """A plugin that is needed but missing, broken, or in conflict with another."""


class DataError(EngineError):
    """Data that is missing, malformed, or too little."""


class TeacherError(EngineError):
    """A teacher that cannot be loaded, or that gives embeddings that cannot be used."""


class CheckpointError(EngineError):
    """A checkpoint or run folder that is missing, damaged, or of another architecture."""


class OutputError(EngineError):
    """A place that cannot be written to."""


class TrainingError(EngineError):
    """Training that cannot go on: a loss that is not finite, a metric that does not exist."""
