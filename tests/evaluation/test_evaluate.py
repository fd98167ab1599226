from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from spaces import normal, pairs_with_duplicates
from structlog.testing import capture_logs

from core_engine.contracts.metrics import METRICS, NEED_GROUPS, why_not_watch
from core_engine.data.pairs import Pairs
from core_engine.errors import DataError
from core_engine.evaluation.metrics import evaluate
from core_engine.evaluation.retrieval import rank_of_target

NAMES = [
    "cosine", "cosine_shuffled", "cosine_gap", "cosine_centred", "constant_cosine",
    "recall@1", "recall@10", "mrr@10", "ndcg@10", "within_recall@1", "within_mrr",
]  # fmt: skip


def test_keys_and_order() -> None:
    pairs = pairs_with_duplicates()
    assert list(evaluate(pairs.inputs, pairs)) == NAMES
    without = Pairs(pairs.inputs, pairs.targets, pairs.target_ids)
    assert list(evaluate(pairs.inputs, without)) == NAMES[:-2]
    assert list(METRICS) == [name for name in NAMES if name != "constant_cosine"]
    assert set(NAMES[-2:]) == NEED_GROUPS


def test_cosines_follow_their_formulas() -> None:
    pairs = pairs_with_duplicates()
    output = pairs.targets + normal(3, 80, 16)
    scores = evaluate(output, pairs)

    assert scores["cosine"] == pytest.approx(float(F.cosine_similarity(output, pairs.targets).mean()), abs=1e-6)
    every = F.normalize(output) @ F.normalize(pairs.targets).T
    unrelated = pairs.target_ids[:, None] != pairs.target_ids
    assert scores["cosine_shuffled"] == pytest.approx(float(every[unrelated].mean()), abs=1e-6)
    assert scores["cosine_gap"] == pytest.approx(scores["cosine"] - scores["cosine_shuffled"], abs=1e-12)
    centred = F.cosine_similarity(output - output.mean(0), pairs.targets - pairs.targets.mean(0))
    assert scores["cosine_centred"] == pytest.approx(float(centred.mean()), abs=1e-6)


def test_no_constant_beats_constant_cosine() -> None:
    pairs = pairs_with_duplicates()
    limit = evaluate(pairs.inputs, pairs)["constant_cosine"]
    best = F.normalize(pairs.targets).mean(0)
    assert evaluate(best.expand(80, 16), pairs)["cosine"] == pytest.approx(limit, abs=1e-6)
    for seed in range(5):
        other = best + 0.1 * normal(seed, 16)
        assert evaluate(other.expand(80, 16), pairs)["cosine"] < limit


def test_a_perfect_map() -> None:
    pairs = pairs_with_duplicates()
    scores = evaluate(3 * pairs.targets, pairs)
    for name in ("cosine", "recall@1", "mrr@10", "ndcg@10", "within_recall@1", "within_mrr"):
        assert scores[name] == pytest.approx(1)


def test_the_same_target_text_is_one_candidate() -> None:
    """As candidates of their own, the copies would tie with the answer and push it down."""
    targets = normal(0, 4, 8)[torch.tensor([0, 1, 0, 2, 0, 3])]
    ids = torch.tensor([5, 1, 5, 2, 5, 3])
    assert evaluate(targets, Pairs(targets, targets, ids))["recall@1"] == 1
    assert evaluate(targets, Pairs(targets, targets))["recall@1"] == pytest.approx(3 / 6)


def test_retrieval_is_among_all_targets_and_within_the_group() -> None:
    pairs = pairs_with_duplicates()
    output = pairs.targets + 1.5 * pairs.inputs
    scores = evaluate(output, pairs)
    ids, relevant = pairs.target_ids.unique(return_inverse=True)
    candidates = torch.stack([pairs.targets[pairs.target_ids == i][0] for i in ids])
    everywhere = rank_of_target(output, candidates, relevant)
    within = rank_of_target(output, candidates, relevant, pairs.group_ids)
    assert scores["recall@10"] == pytest.approx(float((everywhere <= 10).double().mean()))
    assert scores["mrr@10"] == pytest.approx(float(((everywhere <= 10) / everywhere).double().mean()))
    assert scores["within_recall@1"] == pytest.approx(float((within == 1).double().mean()))
    assert scores["within_mrr"] == pytest.approx(float((1 / within.double()).mean()))
    assert scores["within_mrr"] > scores["mrr@10"] + 0.1


def test_corpus_rows_are_candidates_of_no_group() -> None:
    pairs = pairs_with_duplicates()
    without = evaluate(pairs.targets, pairs)
    scores = evaluate(pairs.targets, pairs, corpus=2 * pairs.targets[:1])
    assert without["recall@1"] == 1
    hit = pairs.target_ids == pairs.target_ids[0]  # the corpus row ties with this answer
    assert scores["recall@1"] == pytest.approx(1 - float(hit.double().mean()))
    assert scores["within_recall@1"] == 1


def test_the_gap_of_shuffled_pairs_is_nothing() -> None:
    targets = normal(0, 2000, 32) + 1
    output = targets[torch.randperm(2000, generator=torch.Generator().manual_seed(1))]
    scores = evaluate(output, Pairs(targets, targets))
    assert scores["cosine"] > 0.4
    assert abs(scores["cosine_gap"]) < 0.01
    assert abs(scores["cosine_centred"]) < 0.01


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_a_dead_map_scores_as_badly_as_can_be(value: float) -> None:
    pairs = pairs_with_duplicates()
    with capture_logs() as logs:
        scores = evaluate(torch.full((80, 16), value), pairs)
    assert len(logs) == (0 if value == 0 else 1)
    assert scores["cosine"] == scores["cosine_gap"] == scores["cosine_centred"] == 0
    assert scores["recall@1"] == scores["recall@10"] == scores["mrr@10"] == 0


def test_a_broken_row_is_counted_and_spoils_no_other() -> None:
    pairs = pairs_with_duplicates()
    output = pairs.targets.clone()
    output[7, 3] = float("nan")
    with capture_logs() as logs:
        scores = evaluate(output, pairs)
    assert [(entry["log_level"], entry["rows"], entry["of"]) for entry in logs] == [("warning", 1, 80)]
    assert scores["recall@1"] == pytest.approx(79 / 80)
    assert scores["cosine"] == pytest.approx(79 / 80)
    assert scores["cosine_centred"] > 0.9


def test_nothing_to_tell_apart_is_an_error() -> None:
    rows = normal(0, 3, 4)
    one_text = Pairs(rows, rows[:1].expand(3, 4), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(DataError, match="at least two different target texts, but these 3 rows have 1"):
        evaluate(rows, one_text)
    with pytest.raises(ValueError, match="shape of the targets"):
        evaluate(rows[:2], Pairs(rows, rows))


def test_why_not_watch() -> None:
    assert why_not_watch("mrr@10", groups=False) is None
    assert why_not_watch("within_mrr", groups=True) is None
    assert "needs rows with groups" in (why_not_watch("within_mrr", groups=False) or "")
    assert "no metric 'mrr'" in (why_not_watch("mrr", groups=True) or "")
    assert "no metric 'constant_cosine'" in (why_not_watch("constant_cosine", groups=True) or "")
    assert "within" not in (why_not_watch("mrr", groups=False) or "")
