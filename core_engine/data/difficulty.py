"""How difficult each training row is, as its place among all of them."""

from __future__ import annotations

import math
from collections import Counter

import torch
from torch import Tensor

from core_engine.contracts.data import Example
from core_engine.data.similarity import cosine_of_rows
from core_engine.data.vectors import Vectors
from core_engine.errors import DataError
from core_engine.recipe.difficulty import Difficulty, Given, Length, Rarity, Similarity


def difficulty_of(rows: list[Example], options: Difficulty, vectors: Vectors) -> Tensor:
    """float32 ``[n]``: for each row the share of rows that are no harder, above 0 to 1, so that equal rows are equal.

    That is the cumulative density of competence-based curricula (Platanios et al., 2019). DataError where the
    difficulty asked for cannot be told.
    """
    values = torch.tensor(_VALUES[type(options)](rows, options, vectors), dtype=torch.float64)
    _, level, counts = torch.unique(values, return_inverse=True, return_counts=True)
    density: Tensor = counts.cumsum(0).double() / len(rows)
    return density[level].float()


def _similarity(rows: list[Example], options: Difficulty, vectors: Vectors) -> list[float]:
    inputs, targets = vectors([row.input for row in rows]), vectors([row.target for row in rows])
    if inputs.shape != targets.shape:
        raise DataError(
            f"data.difficulty: similarity compares inputs and targets, which have {inputs.shape[1]} and "
            f"{targets.shape[1]} dimensions here; choose another type"
        )
    # Rounding must not tell pairs apart that are equally hard: in an autoencoder all are.
    difficulty: list[float] = (1 - cosine_of_rows(inputs, targets)).mul(1e6).round().tolist()
    return difficulty


def _length(rows: list[Example], options: Difficulty, vectors: Vectors) -> list[float]:
    return [float(len(_words(row))) for row in rows]


def _rarity(rows: list[Example], options: Difficulty, vectors: Vectors) -> list[float]:
    words = [_words(row) for row in rows]
    counts = Counter(word for of_row in words for word in of_row)
    total = counts.total()
    return [-sum(math.log(counts[word] / total) for word in of_row) / len(of_row) for of_row in words]


def _words(row: Example) -> list[str]:
    if not isinstance(row.input, str):
        raise DataError("data.difficulty: ready embeddings have no words; choose type similarity or given")
    return f"{row.input} {row.target or ''}".lower().split()


def _given(rows: list[Example], options: Difficulty, vectors: Vectors) -> list[float]:
    assert isinstance(options, Given)  # noqa: S101 - by _VALUES
    return [_level(row, options) for row in rows]


def _level(row: Example, options: Given) -> float:
    value = row.metadata.get(options.key)
    if options.order is not None:
        if value not in options.order:
            raise DataError(
                f"row {row.id!r}: {options.key!r} is {value!r}, which is not in data.difficulty.order: "
                f"{', '.join(options.order)}"
            )
        return float(options.order.index(str(value)))
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(
            f"row {row.id!r}: {options.key!r} is {value!r}; data.difficulty needs a number there, or, for names, "
            f"an order from easy to hard"
        )
    return float(value)


_VALUES = {Similarity: _similarity, Length: _length, Rarity: _rarity, Given: _given}
