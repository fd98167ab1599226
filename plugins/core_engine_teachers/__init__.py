"""Bundled teachers: frozen text encoders loaded with Hugging Face transformers."""

from __future__ import annotations

from core_engine import Component, hookimpl
from core_engine_teachers.hugging_face import HuggingFace
from core_engine_teachers.minilm import MiniLM

__all__ = ["HuggingFace", "MiniLM", "teachers"]


@hookimpl
def teachers() -> list[Component]:
    return [Component("hf", HuggingFace), Component("minilm", MiniLM)]
