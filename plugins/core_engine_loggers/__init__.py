"""Bundled loggers: console, jsonl, csv, tensorboard, mlflow, wandb, trace."""

from __future__ import annotations

from core_engine import Component, hookimpl
from core_engine_loggers.config import Console, Csv, Jsonl, MLflow, TensorBoard, Trace, Wandb


@hookimpl
def loggers() -> list[Component]:
    return [
        Component("console", Console),
        Component("jsonl", Jsonl),
        Component("csv", Csv),
        Component("tensorboard", TensorBoard),
        Component("mlflow", MLflow),
        Component("wandb", Wandb),
        Component("trace", Trace),
    ]
