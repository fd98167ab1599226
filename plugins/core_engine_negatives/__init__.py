"""Bundled ways to choose wrong targets."""

from __future__ import annotations

from core_engine import Component, hookimpl


@hookimpl
def negatives() -> list[Component]:
    return []
