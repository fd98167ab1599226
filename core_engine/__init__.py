"""Core Engine: train small lattice cores behind frozen text encoders.

The public API. Names that need torch are loaded on first use, so that importing this package stays fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from core_engine.contracts.backend import Backend, RolloutCase
from core_engine.contracts.component import Component, FolderOrName, Kind
from core_engine.contracts.contexts import (
    BackendContext,
    DataSourceContext,
    KernelContext,
    LoggerContext,
    LossContext,
    NegativesContext,
    RephraserContext,
    ReshapeContext,
    SamplerContext,
    TeacherContext,
)
from core_engine.contracts.data import Example
from core_engine.contracts.hooks import HOOK_API, hookimpl
from core_engine.contracts.objects import (
    Batch,
    DataSource,
    Epoch,
    Kernel,
    Logger,
    Loss,
    Negatives,
    Record,
    Rephraser,
    Reshape,
    Sampler,
    Search,
    Teacher,
)
from core_engine.contracts.pacing import Pacing
from core_engine.contracts.run import RunInfo
from core_engine.contracts.schedule import Ramp, Scheduled, each_value, value_at

if TYPE_CHECKING:
    from core_engine.assembly.backend import BackendChoice, use_backend
    from core_engine.assembly.engine import Engine
    from core_engine.assembly.trained import TrainedCore, load_core
    from core_engine.cache import cache_dir
    from core_engine.core.cell_kernel import CellKernel
    from core_engine.core.cell_loop import CellLoop
    from core_engine.core.growth import grow_cells
    from core_engine.core.processor import EmbeddingProcessor
    from core_engine.data.pairs import Pairs
    from core_engine.data.prepare import Splits
    from core_engine.recipe.slots import ComponentRef, Slot
    from core_engine.recipe.training import Train
    from core_engine.run.result import Result
    from core_engine.teaching.embed import embed

_LAZY = {
    "BackendChoice": "core_engine.assembly.backend",
    "ComponentRef": "core_engine.recipe.slots",
    "Slot": "core_engine.recipe.slots",
    "CellKernel": "core_engine.core.cell_kernel",
    "CellLoop": "core_engine.core.cell_loop",
    "grow_cells": "core_engine.core.growth",
    "EmbeddingProcessor": "core_engine.core.processor",
    "Engine": "core_engine.assembly.engine",
    "Pairs": "core_engine.data.pairs",
    "Result": "core_engine.run.result",
    "Splits": "core_engine.data.prepare",
    "Train": "core_engine.recipe.training",
    "TrainedCore": "core_engine.assembly.trained",
    "cache_dir": "core_engine.cache",
    "embed": "core_engine.teaching.embed",
    "load_core": "core_engine.assembly.trained",
    "use_backend": "core_engine.assembly.backend",
}

__all__ = [
    "HOOK_API",
    "Backend",
    "BackendChoice",
    "BackendContext",
    "Batch",
    "CellKernel",
    "CellLoop",
    "Component",
    "ComponentRef",
    "DataSource",
    "DataSourceContext",
    "EmbeddingProcessor",
    "Engine",
    "Epoch",
    "Example",
    "FolderOrName",
    "Kernel",
    "KernelContext",
    "Kind",
    "Logger",
    "LoggerContext",
    "Loss",
    "LossContext",
    "Negatives",
    "NegativesContext",
    "Pacing",
    "Pairs",
    "Ramp",
    "Record",
    "Rephraser",
    "RephraserContext",
    "Reshape",
    "ReshapeContext",
    "Result",
    "RolloutCase",
    "RunInfo",
    "Sampler",
    "SamplerContext",
    "Scheduled",
    "Search",
    "Slot",
    "Splits",
    "Teacher",
    "TeacherContext",
    "Train",
    "TrainedCore",
    "cache_dir",
    "each_value",
    "embed",
    "grow_cells",
    "hookimpl",
    "load_core",
    "use_backend",
    "value_at",
]


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
