"""What lifecycle hooks are told about the run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from torch import nn


@frozen
class RunInfo:
    """``run_dir``: the run's folder. ``core``: the module being trained. ``total_steps``: optimiser steps planned."""

    run_dir: Path
    name: str
    core: nn.Module
    total_steps: int
