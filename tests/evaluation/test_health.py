from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spaces import Largest, normal, pairs_with_duplicates

from core_engine.data.pairs import Pairs
from core_engine.evaluation.health import health

NAMES = ["alignment", "uniformity", "effective_rank", "anisotropy", "hubness", "cka"]


def directions(rows: torch.Tensor) -> np.ndarray:
    values = rows.double().numpy()
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def by_definition(output: torch.Tensor, pairs: Pairs) -> dict[str, float]:
    """Straight from the formulas, whole matrices at once."""
    u, t, ids = directions(output), directions(pairs.targets), pairs.target_ids.numpy()
    unrelated = ids[:, None] != ids
    squares = ((u[:, None] - u) ** 2).sum(-1)
    centred, other = u - u.mean(0), t - t.mean(0)
    shares = np.linalg.svd(centred, compute_uv=False)
    shares = shares[shares > 1e-12] / shares.sum()
    answers = t[np.unique(ids, return_index=True)[1]]
    nearest = np.argsort(-u @ answers.T, axis=1)[:, :10]
    count = np.bincount(nearest.ravel(), minlength=len(answers)).astype(float)
    spread = count.std()
    gram = centred @ centred.T, other @ other.T  # the other way to write it: <K, L> / (|K| |L|)
    return {
        "alignment": ((u - t) ** 2).sum(1).mean(),
        "uniformity": math.log(np.exp(-2 * squares)[unrelated].mean()),
        "effective_rank": math.exp(-(shares * np.log(shares)).sum()),
        "anisotropy": (u @ u.T)[unrelated].mean(),
        "hubness": (((count - count.mean()) / spread) ** 3).mean() if spread else 0.0,
        "cka": (gram[0] * gram[1]).sum() / (np.linalg.norm(gram[0]) * np.linalg.norm(gram[1])),
    }


@given(
    n=st.integers(12, 50),
    dim=st.integers(2, 20),
    distinct=st.integers(2, 40),
    block=st.integers(1, 60),
    seed=st.integers(0, 1000),
)
def test_figures_follow_their_formulas_whatever_the_block(
    n: int, dim: int, distinct: int, block: int, seed: int
) -> None:
    pairs = pairs_with_duplicates(n, dim, distinct)
    if len(pairs.target_ids.unique()) < 2:
        return
    output = pairs.targets + normal(seed, n, dim)
    found = health(output, pairs, block=block)
    assert list(found) == NAMES
    assert found == pytest.approx(by_definition(output, pairs), abs=1e-9)


def test_values_by_hand() -> None:
    """Four directions of the plane, a quarter turn apart: six pairs, of which two are opposite."""
    rows = torch.tensor([[1.0, 0], [0, 2], [-3, 0], [0, -1]])
    found = health(rows, Pairs(rows, rows))
    assert found["alignment"] == 0
    assert found["uniformity"] == pytest.approx(math.log((4 * math.exp(-4) + 2 * math.exp(-8)) / 6))
    assert found["effective_rank"] == pytest.approx(2)
    assert found["anisotropy"] == pytest.approx(-1 / 3)
    assert found["hubness"] == 0  # all four answers are among everyone's ten
    assert found["cka"] == pytest.approx(1)
    assert health(-rows, Pairs(rows, rows))["alignment"] == pytest.approx(4)


def test_what_the_output_is_turned_and_scaled_by_changes_only_its_alignment() -> None:
    pairs = Pairs(normal(0, 90, 8), normal(1, 90, 8))
    turn = torch.linalg.qr(normal(2, 8, 8)).Q
    as_it_is, turned = (health(rows, pairs) for rows in (pairs.targets, 5 * pairs.targets @ turn))
    for name in ("uniformity", "effective_rank", "anisotropy", "cka"):
        assert turned[name] == pytest.approx(as_it_is[name], abs=1e-5), name
    assert turned["alignment"] > as_it_is["alignment"] + 0.5


def test_each_figure_says_what_is_wrong() -> None:
    targets = normal(0, 300, 16)
    pairs = Pairs(targets, targets)
    teacher = health(targets, pairs)
    flat = health(targets * torch.tensor([1.0] * 2 + [0.0] * 14), pairs)
    assert flat["effective_rank"] <= 2 < 14 < teacher["effective_rank"]
    narrow = health(targets + 3, pairs)
    assert narrow["anisotropy"] > 0.8 > 0.1 > teacher["anisotropy"]
    assert narrow["uniformity"] > teacher["uniformity"] + 1
    drawn = health(targets + 2 * targets[7], pairs)
    assert drawn["hubness"] > teacher["hubness"] + 1
    assert health(normal(9, 300, 16), pairs)["cka"] < 0.2 < 0.99 < teacher["cka"]


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf])
def test_an_output_without_directions_is_one_point(value: float) -> None:
    pairs = pairs_with_duplicates()
    found = health(torch.full((80, 16), value), pairs)
    assert found == {
        "alignment": pytest.approx(1),
        "uniformity": 0,
        "effective_rank": 0,
        "anisotropy": 0,
        "hubness": 0,
        "cka": 0,
    }


def test_a_constant_output_is_one_point() -> None:
    pairs = pairs_with_duplicates()
    found = health(normal(3, 1, 16).expand(80, 16), pairs)
    count = torch.zeros(len(pairs.target_ids.unique()), dtype=torch.float64)
    count[:10] = 80  # everyone has the same ten
    hubness = float(((count - count.mean()) / count.std(correction=0)).pow(3).mean())
    assert found["uniformity"] == pytest.approx(0, abs=1e-12)
    assert found["anisotropy"] == pytest.approx(1)
    assert found["effective_rank"] == found["cka"] == 0
    assert found["hubness"] == pytest.approx(hubness)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_left_of_a_constant_output_by_rounding_is_no_space(dtype: torch.dtype) -> None:
    targets = torch.randn(80, 16, generator=torch.Generator().manual_seed(0)).to(dtype)
    output = 5 + targets @ targets[:16] * (1e-7 if dtype == torch.float32 else 1e-13)
    found = health(output, Pairs(targets, targets, torch.arange(80)))
    assert (found["effective_rank"], found["cka"]) == (0, 0)
    apart = health(5 + 1e-3 * targets, Pairs(targets, targets, torch.arange(80)))
    assert apart["effective_rank"] > 10


def test_a_broken_row_spoils_no_other() -> None:
    pairs = pairs_with_duplicates()
    output = pairs.targets.clone()
    output[7, 3] = math.nan
    found, whole = health(output, pairs), health(pairs.targets, pairs)
    assert all(map(math.isfinite, found.values()))
    assert found["alignment"] == pytest.approx(1 / 80)
    assert found["effective_rank"] == pytest.approx(whole["effective_rank"], rel=0.05)


def test_memory_is_bounded_by_the_block() -> None:
    output = normal(0, 900, 2)
    with Largest() as largest:
        health(output, Pairs(output, normal(1, 900, 2)), block=32)
    assert largest.numel <= 900 * 2  # as large as the input, where all cosines are 900 x 900
