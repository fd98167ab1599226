from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from core_engine import Example
from core_engine.data.difficulty import difficulty_of
from core_engine.errors import DataError
from core_engine.recipe.difficulty import Given, Length, Rarity, Similarity

VECTORS = {"east": [1.0, 0.0], "north": [0.0, 1.0], "north east": [1.0, 1.0], "west": [-2.0, 0.0], "flat": [1.0]}


def vectors(values: Sequence[object]) -> Tensor:
    return torch.tensor([VECTORS[str(value)] for value in values])


def rows(*pairs: tuple[str, str], **metadata: list[object]) -> list[Example]:
    return [
        Example(f"r{i}", question, answer, None, {key: values[i] for key, values in metadata.items()})
        for i, (question, answer) in enumerate(pairs)
    ]


def test_pairs_that_are_less_alike_are_harder() -> None:
    pairs = rows(("east", "west"), ("east", "east"), ("east", "north"), ("east", "north east"))
    assert difficulty_of(pairs, Similarity(), vectors).tolist() == [1.0, 0.25, 0.75, 0.5]


def test_equal_rows_are_equally_hard() -> None:
    pairs = rows(("east", "north"), ("north", "east"), ("east", "east"), ("east", "west"))
    assert difficulty_of(pairs, Similarity(), vectors).tolist() == [0.75, 0.75, 0.25, 1.0]


def test_similarity_needs_one_dimension() -> None:
    with pytest.raises(DataError, match="have 2 and 1 dimensions here; choose another type"):
        difficulty_of(rows(("east", "flat")), Similarity(), vectors)


def test_more_words_are_harder() -> None:
    pairs = rows(("a b c", "d"), ("a", "b"), ("a b c d", "e f g"))
    assert difficulty_of(pairs, Length(), vectors).tolist() == pytest.approx([2 / 3, 1 / 3, 1.0])


def test_rarer_words_are_harder() -> None:
    pairs = rows(("the the the", "the"), ("the cat", "the"), ("quark", "boson"))
    counts = {"the": 6, "cat": 1, "quark": 1, "boson": 1}

    def by_hand(*words: str) -> float:
        return -sum(math.log(counts[word] / 9) for word in words) / len(words)

    assert by_hand("the", "the") < by_hand("the", "cat", "the") < by_hand("quark", "boson")
    assert difficulty_of(pairs, Rarity(), vectors).tolist() == pytest.approx([1 / 3, 2 / 3, 1.0])


def test_the_data_can_say() -> None:
    pairs = rows(*[("a", "b")] * 4, level=["hard", "easy", "easy", "medium"], score=[3, 1.5, 1, 2])
    by_name = Given("level", ["easy", "medium", "hard"])
    assert difficulty_of(pairs, by_name, vectors).tolist() == [1.0, 0.5, 0.5, 0.75]
    assert difficulty_of(pairs, Given("score"), vectors).tolist() == [1.0, 0.5, 0.25, 0.75]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Given("level", ["easy"]), r"row 'r0': 'level' is 'hard', which is not in data\.difficulty\.order: easy"),
        (Given("level"), r"row 'r0': 'level' is 'hard'; data\.difficulty needs a number there"),
        (Given("none"), "row 'r0': 'none' is None"),
    ],
)
def test_a_level_that_is_not_known_is_named(options: Given, message: str) -> None:
    with pytest.raises(DataError, match=message):
        difficulty_of(rows(("a", "b"), level=["hard"]), options, vectors)


def test_embeddings_have_no_words() -> None:
    row = Example("r0", torch.zeros(2).numpy(), torch.zeros(2).numpy())
    with pytest.raises(DataError, match="ready embeddings have no words"):
        difficulty_of([row], Length(), vectors)
