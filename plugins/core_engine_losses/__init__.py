"""Bundled losses: cosine, mse, combined, info_nce."""

from __future__ import annotations

from core_engine import Component, hookimpl
from core_engine_losses.config import Combined, Cosine, InfoNCE, MeanSquaredError
from core_engine_losses.distillation_config import (
    Matryoshka,
    MultiTeacher,
    RelationalDistillation,
    SimilarityDistillation,
)


@hookimpl
def losses() -> list[Component]:
    return [
        Component("cosine", Cosine),
        Component("mse", MeanSquaredError),
        Component("combined", Combined),
        Component("info_nce", InfoNCE),
        Component("similarity_distillation", SimilarityDistillation),
        Component("relational_distillation", RelationalDistillation),
        Component("matryoshka", Matryoshka),
        Component("multi_teacher", MultiTeacher),
    ]
