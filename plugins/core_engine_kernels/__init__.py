"""Bundled cell kernels: stencil."""

from __future__ import annotations

from core_engine import Component, hookimpl
from core_engine_kernels.stencil import Stencil


@hookimpl
def kernels() -> list[Component]:
    return [Component("stencil", Stencil)]
