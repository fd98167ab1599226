"""Core Engine: train small lattice cores behind frozen text encoders.

Names that need torch are loaded on first use, so that importing this package stays fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from core_engine.contracts.component import Component, Kind
from core_engine.contracts.contexts import (
    DataSourceContext,
    KernelContext,
    LoggerContext,
    LossContext,
    ReshapeContext,
    TeacherContext,
)
from core_engine.contracts.data import Example
from core_engine.contracts.hooks import HOOK_API, hookimpl
from core_engine.contracts.objects import (
    Batch,
    DataSource,
    Kernel,
    Logger,
    Loss,
    Record,
    Reshape,
    Teacher,
)
from core_engine.contracts.run import RunInfo
