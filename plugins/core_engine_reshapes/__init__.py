"""Bundled reshapes: linear, projection."""

from __future__ import annotations

from core_engine import Component, hookimpl
from core_engine_reshapes.config import Linear, Projection


@hookimpl
def reshapes() -> list[Component]:
    return [Component("linear", Linear), Component("projection", Projection)]
