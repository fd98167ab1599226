"""The retrieval metrics are those of ir_measures, which ranks by itself and knows nothing of cosines."""

from __future__ import annotations

import ir_measures
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import RR, Measure, R, Success, nDCG

from core_engine.data.pairs import Pairs
from core_engine.evaluation.metrics import evaluate

MEASURES: dict[str, Measure] = {
    "recall@1": Success @ 1,
    "recall@10": R @ 10,
    "mrr@10": RR @ 10,
    "ndcg@10": nDCG @ 10,
}


def aggregate(cosines: np.ndarray, pools: np.ndarray, own: np.ndarray, measures: list[Measure]) -> dict[Measure, float]:
    """``cosines`` and ``pools``, bool, ``[n, m]``; ``own [n]``. The library is told places in place of cosines, since
    it takes those closer than float32 can tell apart for ties.
    """
    places = (-np.where(pools, cosines, -np.inf)).argsort(1).argsort(1)
    qrels = [ir_measures.Qrel(str(query), str(answer), 1) for query, answer in enumerate(own)]
    documents = [
        ir_measures.ScoredDoc(str(query), str(answer), float(-places[query, answer]))
        for query, answer in np.argwhere(pools)
    ]
    return dict(ir_measures.calc_aggregate(measures, qrels, documents))


@settings(max_examples=25)
@given(
    n=st.integers(2, 60),
    texts=st.integers(2, 40),
    corpus=st.integers(0, 30),
    groups=st.integers(1, 8),
    noise=st.sampled_from([0.3, 1.0, 3.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_metrics_are_those_of_ir_measures(
    n: int, texts: int, corpus: int, groups: int, noise: float, seed: int
) -> None:
    source = np.random.default_rng(seed)
    answers = source.normal(size=(texts + corpus, 8)).astype(np.float32)
    own = source.integers(texts, size=n)
    own[:2] = 0, 1  # two different ones at least
    group_of = source.integers(groups, size=n)
    output = answers[own] + noise * source.normal(size=(n, 8)).astype(np.float32)
    pairs = Pairs(
        torch.from_numpy(output),
        torch.from_numpy(answers[own]),
        torch.from_numpy(own * 7 - 3),
        torch.from_numpy(group_of),
    )
    found = evaluate(pairs.inputs, pairs, torch.from_numpy(answers[texts:]) if corpus else None)

    def directions(rows: np.ndarray) -> np.ndarray:
        rows = rows.astype(np.float64)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    cosines = directions(output) @ directions(answers).T
    present = np.isin(np.arange(texts + corpus), own) | (np.arange(texts + corpus) >= texts)
    expected = aggregate(cosines, np.tile(present, (n, 1)), own, list(MEASURES.values()))
    for name, measure in MEASURES.items():
        assert found[name] == pytest.approx(expected[measure], abs=1e-9), name

    of_group = np.array([np.isin(np.arange(texts + corpus), own[group_of == group]) for group in group_of])
    rivals = of_group.sum(1) > 1  # where there is nothing to choose from, a row does not count
    if not rivals.any():
        assert np.isnan(found["within_mrr"])
        return
    expected = aggregate(cosines[rivals], of_group[rivals], own[rivals], [Success @ 1, RR])
    assert found["within_recall@1"] == pytest.approx(expected[Success @ 1], abs=1e-9)
    assert found["within_mrr"] == pytest.approx(expected[RR], abs=1e-9)
