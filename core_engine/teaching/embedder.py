"""A teacher with the store in front of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import define, field
from torch import Tensor

from core_engine.contracts.objects import Teacher
from core_engine.store.store import EmbeddingStore
from core_engine.teaching.embed import embed_with_figures
from core_engine.teaching.figures import Figures


@define(eq=False)
class Embedder:
    """``embedder(texts)`` gives float32 ``[len(texts), dim]``, each text encoded once, whichever run asks.

    ``further``: the teacher's further ones, by name. ``figures``: of all calls so far. ``close`` frees the models that
    are loaded, of further teachers too; a later call loads them again.
    """

    teacher: Teacher
    store: EmbeddingStore
    further: Mapping[str, Embedder] = field(factory=dict)
    figures: Figures = field(factory=Figures)

    def __call__(self, texts: Sequence[str]) -> Tensor:
        rows, figures = embed_with_figures(texts, self.teacher, self.store)
        self.figures += figures
        return rows

    def close(self) -> None:
        close = getattr(self.teacher, "close", None)
        if close is not None:
            close()
        for other in self.further.values():
            other.close()
