"""Examples, groups and lengths, and the distributions, on rows whose figures can be worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core_engine import Example, Pairs
from core_engine.assembly.held_out import HeldOut
from core_engine.evaluation.metrics import evaluate
from core_engine.evaluation.retrieval import rank_of_target
from core_engine.report.distributions import cosine_distributions, recall_curve
from core_engine.report.error_analysis import Candidates, best_and_worst, by_length, shown, worst_groups

UNUSED: Any = None


def held_out(outputs: list[list[float]], answers: list[str], groups: list[str | None]) -> HeldOut:
    """Answers "a", "b", "c" lie on the axes; "x" is in the corpus, between the first two."""
    axes = torch.eye(3)
    numbers = ["abc".index(answer) for answer in answers]
    rows = [
        Example(f"r{number}", "q" * (number + 1), answer, group)
        for number, (answer, group) in enumerate(zip(answers, groups, strict=True))
    ]
    known: dict[int, int] = {}
    pairs = Pairs(
        inputs=torch.tensor(outputs),
        targets=axes[numbers],
        target_ids=torch.tensor([known.setdefault(number, len(known)) for number in numbers]),
    )
    corpus = torch.tensor([[1.0, 1.0, 0.0]])
    return HeldOut(UNUSED, UNUSED, UNUSED, None, pairs, corpus, torch.tensor(outputs), rows, [Example("c0", "x")], {})


@pytest.fixture
def four() -> HeldOut:
    return held_out(
        [[1.0, 0.0, 0.1], [0.0, 0.0, 1.0], [0.9, 0.0, 0.5], [1.0, 0.5, 0.0]],
        ["b", "c", "a", "a"],
        ["one", "two", None, "one"],
    )


def test_examples_and_what_was_retrieved_instead(four: HeldOut) -> None:
    candidates = Candidates(four)
    assert [candidates.text(number) for number in range(4)] == ["b", "c", "a", "x"]
    ranks = candidates.ranks(four.output)
    # "x" is nearer to the last row's output than its own answer "a".
    assert ranks.tolist() == [4, 1, 1, 2]
    best, worst = best_and_worst(four, candidates, ranks, torch.tensor([1, 2, 3, 4]))
    # By rank, then by cosine; of the two rows with answer "a", the better in one list and the worse in the other.
    assert [row.text for row in best] == ["qq", "qqq", "q"]
    assert [row.text for row in worst] == ["q", "qqqq", "qq"]
    first = worst[0]
    assert (first.rank, first.teacher_rank, first.group, first.target.text) == (4, 1, "one", "b")
    assert first.target.cosine == pytest.approx(0.0)
    assert [answer.text for answer in first.retrieved] == ["a", "x", "c"]
    assert first.retrieved[1].cosine == pytest.approx(1 / (2 * 1.01) ** 0.5)


def test_groups_and_lengths(four: HeldOut) -> None:
    by_row = {"core": torch.tensor([0.0, 1.0, 0.5, 0.5]), "teacher": torch.tensor([0.2, 0.2, 0.2, 0.4])}
    groups = [(part.name, part.rows, part.core, round(part.teacher or 0, 6)) for part in worst_groups(four, by_row)]
    assert groups == [("one", 2, 0.25, 0.3), ("two", 1, 1.0, 0.2)]
    lengths = by_length(four, {"core": by_row["core"]})
    parts = [(part.name, part.rows, part.core, part.teacher) for part in lengths]
    assert parts == [("1 to 2", 2, 0.5, None), ("3", 1, 0.5, None), ("4", 1, 0.5, None)]
    nameless = held_out([[1.0, 0.0, 0.0]] * 2, ["a", "b"], [None, None])
    assert worst_groups(nameless, {"core": torch.zeros(2)}) == []


def test_what_is_no_text_is_named_by_its_row() -> None:
    assert shown(torch.zeros(3).numpy(), "17") == "(embedding, row 17)"
    assert shown("a\x00\ud800\n\u200d", "") == "a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER} \u200d"
    assert len(shown("w" * 1000, "")) == 401


@given(st.integers(2, 40), st.integers(0, 10**6))
@settings(max_examples=40)
def test_distributions_and_recall_agree_with_the_metrics(rows: int, seed: int) -> None:
    source = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, max(2, rows // 2), (rows,), generator=source)
    ids[:2] = torch.tensor([0, 1])
    pairs = Pairs(torch.empty(rows, 0), torch.randn(99, 5, generator=source)[ids], ids)
    output = torch.randn(rows, 5, generator=source)
    wanted = evaluate(output, pairs)
    found = cosine_distributions(output, pairs)
    assert found.mean_true == pytest.approx(wanted["cosine"], abs=1e-9)
    assert found.mean_shuffled == pytest.approx(wanted["cosine_shuffled"], abs=1e-9)
    width = float(found.edges[1] - found.edges[0])
    assert float(found.true.sum()) * width == pytest.approx(1)
    assert float(found.shuffled.sum()) * width == pytest.approx(1)
    distinct, relevant = ids.unique(return_inverse=True)
    pool = torch.stack([pairs.targets[ids == number][0] for number in distinct])
    curve = recall_curve(rank_of_target(output, pool, relevant), 12)
    assert (curve[0], curve[9]) == pytest.approx((wanted["recall@1"], wanted["recall@10"]))
    assert curve == sorted(curve)
