"""Triplet loss against a loop in double precision, and against the libraries that have it."""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from core_engine import Batch, Loss, Ramp

Build = Callable[..., Loss]
MakeBatch = Callable[..., Batch]


def rows(count: int, dim: int, seed: int) -> tuple[Tensor, Tensor]:
    output, target = torch.randn(2, count, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return output, target


def distance(kind: str, a: list[float], b: list[float]) -> float:
    if kind == "euclidean":
        return math.dist(a, b)
    return 1 - sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


def loop(output: Tensor, target: Tensor, ids: list[int], kind: str, margin: float, in_batch: str) -> float:
    total = 0.0
    for i, o in enumerate(output.tolist()):
        near = distance(kind, o, target[i].tolist())
        far = [distance(kind, o, t) for t, other in zip(target.tolist(), ids, strict=True) if other != ids[i]]
        far = [min(far)] if far and in_batch == "hardest" else far
        if far:
            total += sum(max(0.0, near - other + margin) for other in far) / len(far)
    return total / len(ids)


@given(
    ids=st.lists(st.integers(0, 4), min_size=1, max_size=9),
    kind=st.sampled_from(["cosine", "euclidean"]),
    in_batch=st.sampled_from(["hardest", "all"]),
    margin=st.sampled_from([0.0, 0.2, 2.0]),
    seed=st.integers(0, 2**31),
)
def test_is_the_formula_over_the_wrong_targets_of_the_batch(
    ids: list[int], kind: str, in_batch: str, margin: float, seed: int, build_loss: Build, make_batch: MakeBatch
) -> None:
    output, target = rows(len(ids), 5, seed)
    found = build_loss("triplet", distance=kind, margin=margin, in_batch=in_batch)(output, target, make_batch(ids))
    assert found.item() == pytest.approx(loop(output, target, ids, kind, margin, in_batch), abs=1e-9)


@pytest.mark.parametrize("kind", ["cosine", "euclidean"])
def test_given_negatives_take_the_place_of_the_batchs(kind: str, build_loss: Build, make_batch: MakeBatch) -> None:
    output, target = rows(6, 5, seed=1)
    negatives = torch.randn(6, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    mask = torch.tensor([[True, True, False]] * 4 + [[True, True, True], [False, False, False]])
    batch = attrs.evolve(make_batch(range(6)), negatives=negatives, negative_mask=mask)
    total = 0.0
    for i in range(6):
        near = distance(kind, output[i].tolist(), target[i].tolist())
        far = [distance(kind, output[i].tolist(), n.tolist()) for n in negatives[i][mask[i]]]
        total += sum(max(0.0, near - other + 0.3) for other in far) / max(1, len(far))
    found = build_loss("triplet", distance=kind, margin=0.3)(output, target, batch)
    assert found.item() == pytest.approx(total / 6, abs=1e-9)


def test_equals_pytorch_and_the_metric_learning_library(build_loss: Build, make_batch: MakeBatch) -> None:
    from pytorch_metric_learning.distances import CosineSimilarity, LpDistance
    from pytorch_metric_learning.losses import TripletMarginLoss
    from pytorch_metric_learning.reducers import MeanReducer

    output, target = rows(8, 6, seed=3)
    negatives = torch.randn(8, 1, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    mask = torch.ones(8, 1, dtype=torch.bool)
    batch = attrs.evolve(make_batch(range(8)), negatives=negatives, negative_mask=mask)
    euclidean = build_loss("triplet", distance="euclidean", margin=0.7)(output, target, batch)
    wanted = F.triplet_margin_loss(output, target, negatives[:, 0], margin=0.7, eps=0)
    torch.testing.assert_close(euclidean, wanted, rtol=1e-6, atol=0)

    distances = {"euclidean": LpDistance(normalize_embeddings=False), "cosine": CosineSimilarity()}
    library = {
        kind: TripletMarginLoss(margin=0.7, distance=metric, reducer=MeanReducer())
        for kind, metric in distances.items()
    }
    index = torch.arange(8)
    everything = torch.cat([output, target, negatives[:, 0]])
    for kind, theirs in library.items():
        ours = build_loss("triplet", distance=kind, margin=0.7)(output, target, batch)
        triplets = (index, index + 8, index + 16)
        wanted = theirs(everything, torch.zeros(24, dtype=torch.int64), indices_tuple=triplets)
        torch.testing.assert_close(ours, wanted, rtol=1e-6, atol=0)


def test_equals_sentence_transformers(build_loss: Build, make_batch: MakeBatch) -> None:
    from sentence_transformers.sentence_transformer.losses import TripletDistanceMetric, TripletLoss

    output, target = rows(8, 6, seed=5)
    negatives = torch.randn(8, 1, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    batch = attrs.evolve(make_batch(range(8)), negatives=negatives, negative_mask=torch.ones(8, 1, dtype=torch.bool))
    for kind, metric in (("cosine", TripletDistanceMetric.COSINE), ("euclidean", TripletDistanceMetric.EUCLIDEAN)):
        theirs = TripletLoss(None, distance_metric=metric, triplet_margin=0.4)
        wanted = theirs.compute_loss_from_embeddings([output, target, negatives[:, 0]], None)
        ours = build_loss("triplet", distance=kind, margin=0.4)(output, target, batch)
        # The library adds 1e-6 to every difference.
        torch.testing.assert_close(ours, wanted, rtol=2e-6, atol=0)


def test_a_duplicate_of_the_right_answer_is_no_wrong_one(build_loss: Build, make_batch: MakeBatch) -> None:
    output, target = rows(4, 5, seed=7)
    target[1] = target[0]
    for in_batch in ("hardest", "all"):
        loss = build_loss("triplet", margin=0.5, in_batch=in_batch)
        with_twin = loss.rows(output, target, make_batch([0, 0, 1, 2]))
        without = loss.rows(output[[0, 2, 3]], target[[0, 2, 3]], make_batch([0, 1, 2]))
        assert with_twin[0].item() == pytest.approx(without[0].item(), abs=1e-12)


def test_the_margin_may_change_over_a_run(build_loss: Build, make_batch: MakeBatch) -> None:
    output, target = rows(6, 5, seed=8)
    loss = build_loss("triplet", margin=Ramp(0.0, 1.0))
    for progress in (0.0, 0.5, 1.0):
        fixed = build_loss("triplet", margin=progress)
        batch = attrs.evolve(make_batch(range(6)), progress=progress)
        assert loss(output, target, batch).item() == fixed(output, target, batch).item()
