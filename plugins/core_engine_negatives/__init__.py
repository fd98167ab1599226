"""Bundled ways to choose wrong targets: random, hard."""

from __future__ import annotations

from core_engine import Component, hookimpl
from core_engine_negatives.config import Hard, Random


@hookimpl
def negatives() -> list[Component]:
    return [Component("random", Random), Component("hard", Hard)]
