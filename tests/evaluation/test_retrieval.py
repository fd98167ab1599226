from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spaces import Largest, normal
from torch import Tensor

from core_engine.errors import DataError
from core_engine.evaluation.retrieval import rank_of_target


def brute_force(queries: Tensor, candidates: Tensor, relevant: Tensor, groups: Tensor | None) -> list[int]:
    """Straight from the definition, one query and one candidate at a time."""

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
        return float(a @ b) / lengths if lengths else 0.0

    q, c = queries.double().numpy(), candidates.double().numpy()
    ranks = []
    for row, target in enumerate(relevant.tolist()):
        pool = set(range(len(c)))
        if groups is not None:
            pool = set(relevant[groups == groups[row]].tolist())
        own = cosine(q[row], c[target])
        others = pool - {target}
        ranks.append(1 + sum(cosine(q[row], c[other]) >= own - 1e-9 for other in others))
    return ranks


@st.composite
def problems(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Few distinct coordinates, so that ties, equal candidates and zero rows are common."""
    n, m = draw(st.integers(1, 12)), draw(st.integers(1, 9))
    row = st.lists(st.integers(-1, 1), min_size=3, max_size=3)
    queries = draw(st.lists(row, min_size=n, max_size=n))
    candidates = draw(st.lists(row, min_size=m, max_size=m))
    relevant = draw(st.lists(st.integers(0, m - 1), min_size=n, max_size=n))
    groups = draw(st.lists(st.sampled_from([-7, 0, 3, 10**12]), min_size=n, max_size=n))
    return (
        torch.tensor(queries, dtype=torch.float32),
        torch.tensor(candidates, dtype=torch.float32),
        torch.tensor(relevant),
        torch.tensor(groups),
    )


@settings(deadline=None)
@given(problems(), st.integers(1, 5))
def test_ranks_follow_the_definition(problem: tuple[Tensor, Tensor, Tensor, Tensor], block: int) -> None:
    queries, candidates, relevant, groups = problem
    ranks = rank_of_target(queries, candidates, relevant, block=block)
    assert ranks.dtype == torch.int64
    assert ranks.tolist() == brute_force(queries, candidates, relevant, None)
    within = rank_of_target(queries, candidates, relevant, groups, block=block)
    assert within.tolist() == brute_force(queries, candidates, relevant, groups)


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf"), -float("inf")])
def test_an_unusable_row_ranks_last(value: float) -> None:
    candidates = normal(0, 20, 6)
    queries = candidates.clone()
    queries[3] = value
    queries[5, 2] = value or queries[5, 2]
    ranks = rank_of_target(queries, candidates, torch.arange(20))
    assert ranks[3] == 20
    assert ranks[5] == (20 if value else 1)
    usable = [row for row in range(20) if row not in (3, 5)]
    assert (ranks[usable] == 1).all()
    groups = torch.arange(20) // 4  # groups of four
    assert rank_of_target(queries, candidates, torch.arange(20), groups)[3] == 4


def test_a_constant_output_does_not_rank_first() -> None:
    candidates, relevant = normal(0, 50, 16), torch.arange(50)
    ranks = rank_of_target(normal(1, 1, 16).expand(50, 16), candidates, relevant)
    assert sorted(ranks.tolist()) == list(range(1, 51))  # one order for all queries
    collapsed = normal(2, 1, 16).expand(50, 16)  # all candidates embedded alike
    assert (rank_of_target(candidates, collapsed, relevant) == 50).all()


def test_equal_embeddings_tie_wherever_they_stand() -> None:
    """A matrix library may round the same product differently at different places of a block."""
    candidates = normal(0, 700, 384)
    twin = candidates.clone()
    queries = candidates + normal(1, 700, 384)
    once = rank_of_target(queries, candidates, torch.arange(700))
    for block in (700, 64, 129):
        doubled = rank_of_target(queries, torch.cat([candidates, twin]), torch.arange(700), block=block)
        assert torch.equal(doubled, 2 * once)


def test_length_does_not_count() -> None:
    candidates, relevant = normal(0, 30, 8), torch.arange(30)
    queries = candidates + normal(1, 30, 8)
    lengths = torch.logspace(-30, 30, 30)[:, None]
    ranks = rank_of_target(queries, candidates, relevant)
    assert torch.equal(rank_of_target(queries * lengths, candidates * lengths.flip(0), relevant), ranks)


def test_ranks_do_not_depend_on_the_block() -> None:
    queries, candidates = normal(0, 150, 24), normal(1, 129, 24)
    relevant = torch.arange(150) % 129
    whole = rank_of_target(queries, candidates, relevant, block=1000)
    for block in (7, 64, 129, 150):
        assert torch.equal(rank_of_target(queries, candidates, relevant, block=block), whole)


def test_memory_is_bounded_by_the_block() -> None:
    queries, candidates, relevant = normal(0, 900, 2), normal(1, 900, 2), torch.arange(900)
    for groups in (None, torch.zeros(900, dtype=torch.int64)):
        with Largest() as largest:
            rank_of_target(queries, candidates, relevant, groups, block=32)
        assert largest.numel <= 900 * 2  # as large as the input, where all scores are 900 x 900


def test_a_candidate_that_is_not_finite_is_an_error() -> None:
    candidates = normal(0, 5, 3)
    candidates[2, 1] = float("nan")
    with pytest.raises(DataError, match=r"1 of 5 candidate embeddings are not finite .*row 2"):
        rank_of_target(normal(1, 5, 3), candidates, torch.arange(5))
