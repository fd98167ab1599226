"""Losses of the library Sentence Transformers. Needs the extra ``sentence-transformers``."""

from __future__ import annotations

from core_engine import Component, hookimpl
from core_engine_sentence_transformers.config import SentenceTransformers

__all__ = ["SentenceTransformers", "losses"]


@hookimpl
def losses() -> list[Component]:
    return [Component("sentence_transformers", SentenceTransformers)]
