"""A teacher with the store in front of it."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field
from torch import Tensor

from core_engine.contracts.objects import Teacher
from core_engine.store.store import EmbeddingStore
from core_engine.teaching.embed import embed_with_figures
from core_engine.teaching.figures import Figures


@define(eq=False)
class Embedder:
    """``embedder(texts)`` gives float32 ``[len(texts), dim]``, each text encoded once, whichever run asks.

    ``figures``: of all calls so far. ``close`` frees the teacher's model, if it has one loaded; a later call loads it
    again.
    """

    teacher: Teacher
    store: EmbeddingStore
    figures: Figures = field(factory=Figures)

    def __call__(self, texts: Sequence[str]) -> Tensor:
        rows, figures = embed_with_figures(texts, self.teacher, self.store)
        self.figures += figures
        return rows

    def close(self) -> None:
        close = getattr(self.teacher, "close", None)
        if close is not None:
            close()
