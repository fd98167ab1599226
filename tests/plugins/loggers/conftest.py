from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import core_engine_loggers
import pytest

from core_engine import Logger, LoggerContext

LOGGERS = {component.name: component.config for component in core_engine_loggers.loggers()}


@pytest.fixture
def build_logger(tmp_path: Path) -> Callable[..., Logger]:
    """Builds the logger of a name in ``tmp_path``, for a new run or for one that goes on after ``resumed_step``."""

    def build(name: str, resumed_step: int | None = None, **options: Any) -> Logger:
        context = LoggerContext(run_dir=tmp_path, run_name="[trial]", total_steps=100, resumed_step=resumed_step)
        return LOGGERS[name](**options).build(context)

    return build
