from __future__ import annotations

import pytest
import torch
from spaces import normal, pairs_with_duplicates

from core_engine.data.pairs import Pairs
from core_engine.evaluation.coherence import coherence


def test_values_by_hand() -> None:
    questions = torch.tensor([[1.0, 0], [0, 1]])
    output = torch.tensor([[2.0, 0], [3, 4]])
    found = coherence(output, Pairs(questions, questions))
    assert found["question_cosine"] == pytest.approx((1 + 0.8) / 2)
    assert found["question_gap"] == pytest.approx(0.9 - (0 + 0.6) / 2)


def test_shuffled_questions_are_those_of_rows_with_other_answers() -> None:
    pairs = pairs_with_duplicates()
    output = pairs.inputs + normal(3, 80, 16)
    every = torch.nn.functional.normalize(output) @ torch.nn.functional.normalize(pairs.inputs).T
    others = every[pairs.target_ids[:, None] != pairs.target_ids].mean()
    found = coherence(output, pairs)
    assert found["question_gap"] == pytest.approx(float(every.diagonal().mean() - others), abs=1e-6)


def test_what_all_answers_share_with_all_questions_is_no_coherence() -> None:
    pairs = Pairs(normal(0, 500, 32) + 2, normal(1, 500, 32) + 2)
    found = coherence(pairs.targets, pairs)
    assert found["question_cosine"] > 0.7
    assert abs(found["question_gap"]) < 0.02


def test_rows_without_direction_have_none() -> None:
    pairs = pairs_with_duplicates()
    for value in (0.0, torch.nan):
        assert coherence(torch.full((80, 16), value), pairs) == {"question_cosine": 0, "question_gap": 0}


def test_questions_of_another_dimension_share_no_space() -> None:
    with pytest.raises(ValueError, match=r"shape of the inputs, \[5, 3\], not \[5, 4\]"):
        coherence(normal(0, 5, 4), Pairs(normal(1, 5, 3), normal(2, 5, 4)))
