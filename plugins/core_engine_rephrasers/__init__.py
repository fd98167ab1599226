"""Bundled rephrasers: rules, chat, generate."""

from __future__ import annotations

from core_engine import Component, hookimpl
from core_engine_rephrasers.chat import Chat
from core_engine_rephrasers.generate import Generate
from core_engine_rephrasers.rules import Rules

__all__ = ["Chat", "Generate", "Rules"]


@hookimpl
def rephrasers() -> list[Component]:
    return [
        Component("rules", Rules),
        Component("chat", Chat),
        Component("generate", Generate),
    ]
