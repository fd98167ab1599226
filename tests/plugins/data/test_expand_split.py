"""Grown data in a run: no question of a held-out pair is trained on, in whatever words."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attrs import frozen
from expanding import RULES, embed, options, spread

from core_engine import DataSourceContext, Example
from core_engine.data.prepare import prepare
from core_engine.data.rows import Sources
from core_engine.recipe.modes import Dialogue
from core_engine.recipe.schema import Filters, Split


@frozen
class Given:
    rows: list[Example]

    def read(self) -> Any:
        yield from self.rows


def coded(rows: list[Example]) -> Any:
    """An embedding of each text of ``rows`` that names it: the text's number, which tensors keep exactly."""
    numbers: dict[str, int] = {}
    for row in rows:
        for text in (str(row.input), str(row.target)):
            numbers.setdefault(text, len(numbers))

    def number(texts: Any) -> torch.Tensor:
        return torch.tensor([[1.0, float(numbers[text])] for text in texts])

    return number, {float(n): text for text, n in numbers.items()}


@pytest.mark.parametrize("seed", range(6))
def test_no_sibling_of_a_held_out_pair_is_trained_on(seed: int) -> None:
    rows = list(options(spread(120, groups=40), 400, [RULES]).build(DataSourceContext(seed, embed)).read())
    number, text_of = coded(rows)
    by_input = {str(row.input): row for row in rows}
    splits = prepare(Sources(Given(rows)), Dialogue(), Filters(), Split(validation=0.2, test=0.2), seed, number)
    parts = {
        part: [by_input[text_of[value]] for value in getattr(splits, part).inputs[:, 1].tolist()]
        for part in ("train", "validation", "test")
    }
    held_out = [*parts["validation"], *parts["test"]]
    assert len(parts["validation"]) >= 12
    assert len(parts["test"]) >= 12
    assert all(row.origin is None for row in held_out)
    assert sum(row.origin is not None for row in parts["train"]) >= 100
    in_training = {row.id for row in parts["train"]}
    assert all(row.origin in in_training for row in parts["train"] if row.origin is not None)
    held_out_ids = {row.id for row in held_out}
    assert not {row.origin for row in parts["train"]} & held_out_ids
    assert not {row.group for row in parts["train"]} & {row.group for row in held_out}
    assert not {row.target for row in parts["train"]} & {row.target for row in held_out}
    left_out = [row for row in rows if row.id not in in_training | held_out_ids]
    assert left_out
    assert all(row.origin in held_out_ids for row in left_out)


def test_growth_does_not_change_which_pairs_are_held_out() -> None:
    pairs = spread(120, groups=40)
    grown = list(options(pairs, 400, [RULES]).build(DataSourceContext(0, embed)).read())
    number, _ = coded(grown)

    def held_out(rows: list[Example]) -> list[torch.Tensor]:
        splits = prepare(Sources(Given(rows)), Dialogue(), Filters(), Split(validation=0.2, test=0.2), 5, number)
        return [splits.validation.inputs, splits.test.inputs]

    for before, after in zip(held_out(pairs), held_out(grown), strict=True):
        assert torch.equal(before, after)
