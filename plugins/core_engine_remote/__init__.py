"""Bundled teachers that run elsewhere and are asked over HTTP."""

from __future__ import annotations

from core_engine import Component, hookimpl
from core_engine_remote.config import OpenAI

__all__ = ["OpenAI", "teachers"]


@hookimpl
def teachers() -> list[Component]:
    return [Component("openai", OpenAI)]
