"""Bundled samplers."""

from __future__ import annotations

from core_engine import Component, hookimpl


@hookimpl
def samplers() -> list[Component]:
    return []
