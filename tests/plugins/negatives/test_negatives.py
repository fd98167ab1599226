from __future__ import annotations

from typing import Literal

import attrs
import pytest
import torch
from core_engine_negatives import negatives
from core_engine_negatives.config import Hard, Random
from core_engine_negatives.nearest import nearest
from hypothesis import given, settings
from hypothesis import strategies as st

from core_engine import NegativesContext, Search


def search(rows: int, corpus: int, dim: int = 6, seed: int = 0) -> Search:
    source = torch.Generator().manual_seed(seed)
    targets = torch.randn(corpus, dim, generator=source)
    own = torch.randint(corpus, (rows,), generator=source)
    queries = targets[own] + 0.5 * torch.randn(rows, dim, generator=source)
    return Search(queries, targets, own, torch.Generator().manual_seed(seed))


def test_names() -> None:
    assert [component.name for component in negatives()] == ["random", "hard"]


@given(st.integers(1, 20), st.integers(2, 9), st.integers(1, 5), st.integers(0, 20))
def test_random_ones_are_never_the_rows_own(rows: int, corpus: int, count: int, seed: int) -> None:
    where = search(rows, corpus, seed=seed)
    found, holds = Random(count).build(NegativesContext()).choose(where)
    assert found.shape == holds.shape == (rows, count)
    assert holds.all()
    assert (found != where.own[:, None]).all()
    assert 0 <= int(found.min()) <= int(found.max()) < corpus
    again, _ = Random(count).build(NegativesContext()).choose(search(rows, corpus, seed=seed))
    assert torch.equal(found, again)


def test_random_ones_are_uniform() -> None:
    where = Search(torch.zeros(4000, 2), torch.zeros(5, 2), torch.full((4000,), 2), torch.Generator().manual_seed(0))
    found, _ = Random(10).build(NegativesContext()).choose(where)
    counts = torch.bincount(found.flatten(), minlength=5)
    assert counts[2] == 0
    assert counts[[0, 1, 3, 4]].float().div(40_000).tolist() == pytest.approx([0.25] * 4, abs=0.01)


@settings(deadline=None)
@given(
    rows=st.integers(1, 40),
    corpus=st.integers(1, 40),
    count=st.integers(1, 8),
    block=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    seed=st.integers(0, 99),
)
def test_the_nearest_in_blocks_are_the_nearest(
    rows: int, corpus: int, count: int, block: tuple[int, int], seed: int
) -> None:
    source = torch.Generator().manual_seed(seed)
    # Whole numbers, so that sums are exact and ties are ties.
    queries = torch.randint(-3, 4, (rows, 4), generator=source).double()
    targets = torch.randint(-3, 4, (corpus, 4), generator=source).double()
    count = min(count, corpus)
    values, places = nearest(queries, targets, count, block)
    everything = queries @ targets.T
    assert torch.equal(values, everything.sort(descending=True).values[:, :count])
    assert torch.equal(everything.gather(1, places), values)
    assert all(len(set(row)) == count for row in places.tolist())


def test_no_more_than_a_block_is_held_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    topk = torch.Tensor.topk
    monkeypatch.setattr(torch.Tensor, "topk", lambda self, *a, **k: held.append(self.numel()) or topk(self, *a, **k))
    nearest(torch.randn(300, 4), torch.randn(500, 4), 5, block=(16, 32))
    assert max(held) == 16 * 32
    held.clear()
    nearest(torch.randn(1000, 4), torch.randn(20_000, 4), 64)
    assert max(held) * 4 == 16 * 2**20, "bytes"


def by_hand(where: Search, count: int, candidates: int, margin: float) -> list[list[int]]:
    cosine = torch.nn.functional.cosine_similarity(where.queries[:, None], where.corpus[None], dim=-1)
    found = []
    for row, own in enumerate(where.own.tolist()):
        ranked = cosine[row].argsort(descending=True)[:candidates].tolist()
        bound = float(cosine[row, own] - margin * abs(cosine[row, own]))
        found.append([place for place in ranked if place != own and float(cosine[row, place]) < bound][:count])
    return found


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(2, 30), st.integers(1, 5), st.sampled_from([0.0, 0.05, 0.5]), st.integers(0, 99))
def test_hard_ones_are_the_nearest_that_pass(rows: int, corpus: int, count: int, margin: float, seed: int) -> None:
    where = search(rows, corpus, seed=seed)
    config = Hard(count=count, candidates=12, relative_margin=margin)
    found, holds = config.build(NegativesContext()).choose(where)
    assert found.dtype == torch.int64
    for row, wanted in enumerate(by_hand(where, count, 12, margin)):
        assert found[row][holds[row]].tolist() == wanted


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(2, 30), st.integers(1, 5), st.sampled_from([0.0, 0.05, 0.5]), st.integers(0, 99))
def test_with_ties_the_nearest_that_pass_are_as_near(
    rows: int, corpus: int, count: int, margin: float, seed: int
) -> None:
    source = torch.Generator().manual_seed(seed)
    # Signs in four dimensions: lengths are 2, cosines multiples of one half, without rounding.
    queries, targets = (torch.randint(2, (n, 4), generator=source) * 2.0 - 1 for n in (rows, corpus))
    where = Search(queries, targets, torch.randint(corpus, (rows,), generator=source), source)
    found, holds = Hard(count=count, candidates=64, relative_margin=margin).build(NegativesContext()).choose(where)
    assert not (holds & (found == where.own[:, None])).any()
    cosine = queries @ targets.T / 4
    for row, wanted in enumerate(by_hand(where, count, 64, margin)):
        assert cosine[row, found[row][holds[row]]].tolist() == cosine[row, wanted].tolist()


def test_random_ones_among_the_candidates_are_any_that_pass() -> None:
    where = search(40, 60, seed=3)

    def chosen(seed: int, choose: Literal["top", "random"] = "random", count: int = 3) -> list[list[int]]:
        miner = Hard(count=count, candidates=20, choose=choose).build(NegativesContext())
        found, holds = miner.choose(attrs.evolve(where, generator=torch.Generator().manual_seed(seed)))
        return [ids[there].tolist() for ids, there in zip(found, holds, strict=True)]

    pool = chosen(0, "top", count=20)
    draws = [chosen(seed) for seed in range(400)]
    assert draws[0] == chosen(0)
    times = torch.zeros(40, 60)
    for draw in draws:
        for row, some in enumerate(draw):
            assert len(set(some)) == len(some) == min(3, len(pool[row]))
            assert set(some) <= set(pool[row])
            times[row, some] += 1
    row = max(range(40), key=lambda row: len(pool[row]))
    share = times[row, pool[row]] / 400
    assert share.tolist() == pytest.approx([3 / len(pool[row])] * len(pool[row]), abs=0.1)


def test_what_is_as_near_as_the_right_one_is_left_alone() -> None:
    corpus = torch.tensor([[1.0, 0.0], [1.0, 0.01], [1.0, 0.6], [0.0, 1.0]])
    where = Search(torch.tensor([[1.0, 0.0]]), corpus, torch.tensor([0]), torch.Generator())
    found, holds = Hard(count=2, candidates=4).build(NegativesContext()).choose(where)
    assert found[holds].tolist() == [2, 3], "the second is right as well, for all that one can tell"


def test_fewer_where_fewer_pass() -> None:
    where = Search(torch.eye(2), torch.eye(2), torch.tensor([0, 1]), torch.Generator())
    found, holds = Hard(count=4, candidates=8).build(NegativesContext()).choose(where)
    assert holds.sum(1).tolist() == [1, 1]
    assert found[holds].tolist() == [1, 0]


def test_a_row_whose_own_target_is_farther_than_all_has_none() -> None:
    where = Search(
        torch.tensor([[1.0, 0.0]]),
        torch.tensor([[-1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]),
        torch.tensor([0]),
        torch.Generator(),
    )
    found, holds = Hard(count=2).build(NegativesContext()).choose(where)
    assert found.shape == (1, 2)
    assert not holds.any()


def test_more_wanted_than_looked_at_is_an_error() -> None:
    with pytest.raises(ValueError, match="count 10 is more than the 5 candidates"):
        Hard(count=10, candidates=5)
