"""Bundled losses."""

from __future__ import annotations

from core_engine import Component, hookimpl
from core_engine_losses.config import (
    Combined,
    Cosine,
    Curriculum,
    Huber,
    InfoNCE,
    MeanSquaredError,
    Triplet,
    Uniformity,
)
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
        Component("huber", Huber),
        Component("combined", Combined),
        Component("triplet", Triplet),
        Component("info_nce", InfoNCE),
        Component("uniformity", Uniformity),
        Component("curriculum", Curriculum),
        Component("similarity_distillation", SimilarityDistillation),
        Component("relational_distillation", RelationalDistillation),
        Component("matryoshka", Matryoshka),
        Component("multi_teacher", MultiTeacher),
    ]
