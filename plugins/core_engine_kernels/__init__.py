"""Bundled cell kernels, and backends that compute them faster."""

from __future__ import annotations

from core_engine import Component, hookimpl
from core_engine_kernels.stencil.options import Stencil


@hookimpl
def kernels() -> list[Component]:
    return [Component("stencil", Stencil)]
