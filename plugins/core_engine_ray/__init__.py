"""A teacher whose work is spread over a Ray cluster by Ray Data. Needs the extra ``ray``."""

from __future__ import annotations

from core_engine import Component, hookimpl
from core_engine_ray.config import Ray

__all__ = ["Ray", "teachers"]


@hookimpl
def teachers() -> list[Component]:
    return [Component("ray", Ray)]
