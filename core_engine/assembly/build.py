"""Builds what a recipe names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from core_engine.cache import cache_dir
from core_engine.contracts.contexts import (
    DataSourceContext,
    KernelContext,
    LossContext,
    ReshapeContext,
    TeacherContext,
)
from core_engine.contracts.objects import Teacher
from core_engine.core.processor import EmbeddingProcessor
from core_engine.core.shortcut import Shortcut
from core_engine.data.rows import Sources
from core_engine.errors import DataError, EngineError, PluginError, RecipeError
from core_engine.randomness import derive_seed
from core_engine.recipe.check import dimension_problem
from core_engine.recipe.schema import Recipe
from core_engine.recipe.slots import ComponentRef
from core_engine.store.store import EmbeddingStore
from core_engine.teaching.embedder import Embedder
from core_engine.training.criterion import Criterion


def resolve_device(name: str) -> torch.device:
    """``auto`` is a CUDA device where there is one, else the CPU. EngineError for a device that is not there."""
    if name == "auto":
        # torchrun starts one process for each device.
        return torch.device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        # Needs memory that holds values, which the device "meta" has not.
        torch.zeros(1, device=device).item()
    except Exception as error:  # each device type fails in its own way
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise EngineError(f"device {name!r} cannot be used: {reason}; use 'auto' or 'cpu'") from error
    return device


def built(ref: ComponentRef, context: object) -> Any:
    """The object of a component. PluginError that names its plugin where building it fails in a way it did not
    foresee.
    """
    try:
        return ref.config.build(context)
    except EngineError:
        raise
    except Exception as error:
        raise PluginError(
            f"{ref.kind} {ref.type!r} ({ref.provider}) cannot be built: {type(error).__name__}: {error}"
        ) from error


def build_sources(recipe: Recipe, embedder: Embedder | None = None) -> Sources:
    """``embedder``: the recipe's, for sources that weigh texts."""
    context = DataSourceContext(seed=recipe.seed, embed=embedder)
    data = recipe.data
    return Sources(
        train=built(data.train, context),
        validation=None if data.validation is None else built(data.validation, context),
        test=None if data.test is None else built(data.test, context),
        corpus=None if data.corpus is None else built(data.corpus, context),
    )


def build_teacher(recipe: Recipe, device: torch.device) -> Teacher | None:
    """The teacher the recipe chooses; its weights are loaded at the first text that has to be encoded."""
    if recipe.teacher is None:
        return None
    teacher: Teacher = built(recipe.teachers[recipe.teacher], TeacherContext(device=str(device)))
    return teacher


def build_embedder(recipe: Recipe, device: torch.device) -> Embedder | None:
    """The recipe's teacher behind the user's embedding store; None for a recipe without one."""
    teacher = build_teacher(recipe, device)
    if teacher is None:
        return None
    # The name first: of two presets of one model, it is what people know it by.
    words = {"type": recipe.teachers[recipe.teacher or ""].type, **getattr(teacher, "description", {})}
    further = {
        name: Embedder(other, _store(other, recipe, getattr(other, "description", {})))
        for name, other in getattr(teacher, "further", {}).items()
    }
    return Embedder(teacher, _store(teacher, recipe, words), further)


def _store(teacher: Teacher, recipe: Recipe, words: Mapping[str, object]) -> EmbeddingStore:
    return EmbeddingStore(embeddings_dir(), teacher.fingerprint, teacher.dim, recipe.store.dtype, words)


def embeddings_dir() -> Path:
    """Where the user's embedding stores lie."""
    return cache_dir() / "embeddings"


def known_dimensions(recipe: Recipe) -> tuple[int, int] | None:
    """Input and output dimension, where they can be told without loading weights: from the teacher's description, or
    from the first row of data that are embeddings. None where the teacher is not there to be asked.
    """
    if recipe.teacher is not None:
        dim: int | None = recipe.teachers[recipe.teacher].config.embedding_dim()
        return None if dim is None else (dim, dim)
    row = next(iter(build_sources(recipe).train.read()), None)
    if row is None:
        raise DataError("data.train: no rows")
    return len(row.input), len(row.input if row.target is None else row.target)


def build_core(recipe: Recipe, input_dim: int, output_dim: int) -> EmbeddingProcessor:
    """The untrained core for embeddings of these dimensions. RecipeError where they do not fit."""
    lattice = recipe.lattice
    context = ReshapeContext(input_dim=input_dim, output_dim=output_dim, size=lattice.size, seed=recipe.seed)
    problem = dimension_problem(recipe, context)
    if problem:
        raise RecipeError([f"reshape: {problem} (embeddings have {input_dim} and {output_dim} dimensions)"])
    reshape = built(recipe.reshape, context)
    kernel = built(
        lattice.kernel,
        KernelContext(size=lattice.size, channels=lattice.channels, drive_channels=reshape.channels, seed=recipe.seed),
    )
    return EmbeddingProcessor(
        reshape=reshape,
        kernel=kernel,
        input_dim=input_dim,
        output_dim=output_dim,
        size=lattice.size,
        channels=lattice.channels,
        steps=lattice.steps,
        centre=recipe.centre,
        shortcut=_shortcut(recipe, input_dim, output_dim),
    )


def _shortcut(recipe: Recipe, input_dim: int, output_dim: int) -> Shortcut | None:
    options = recipe.lattice.shortcut
    if options is None:
        return None
    seed = derive_seed(recipe.seed, "shortcut")
    return Shortcut(input_dim, output_dim, options.rank, options.width, options.axes, seed)


def build_criterion(recipe: Recipe, dim: int, further: Mapping[str, int] | None = None) -> Criterion:
    """The losses; of two of one type, the second is called ``cosine_2`` and so on. ``further``: see LossContext."""
    context = LossContext(dim=dim, seed=recipe.seed, further=further or {})
    terms = []
    names: list[str] = []
    for term in recipe.loss:
        names.append(term.loss.type)
        count = names.count(term.loss.type)
        name = term.loss.type if count == 1 else f"{term.loss.type}_{count}"
        terms.append((name, term.weight, built(term.loss, context)))
    return Criterion(terms)
