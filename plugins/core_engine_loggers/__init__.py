"""Bundled loggers: console, jsonl, csv, tensorboard."""

from __future__ import annotations

from core_engine import Component, hookimpl
from core_engine_loggers.config import Console, Csv, Jsonl, TensorBoard


@hookimpl
def loggers() -> list[Component]:
    return [
        Component("console", Console),
        Component("jsonl", Jsonl),
        Component("csv", Csv),
        Component("tensorboard", TensorBoard),
    ]
