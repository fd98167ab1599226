"""Bundled samplers: shuffle, grouped, curriculum, competence."""

from __future__ import annotations

from core_engine import Component, hookimpl
from core_engine_samplers.config import Competence, Curriculum, Grouped, Shuffle


@hookimpl
def samplers() -> list[Component]:
    return [
        Component("shuffle", Shuffle),
        Component("grouped", Grouped),
        Component("curriculum", Curriculum),
        Component("competence", Competence),
    ]
