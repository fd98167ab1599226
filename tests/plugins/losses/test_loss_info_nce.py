from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from core_engine import Batch, Loss
from core_engine.errors import TrainingError


def loop(output: Tensor, target: Tensor, ids: list[int], temperature: float) -> float:
    """The formula, one exponential at a time."""
    o, t = F.normalize(output.double(), dim=-1), F.normalize(target.double(), dim=-1)
    losses = []
    for i in range(len(ids)):
        own = math.exp(float(o[i] @ t[i]) / temperature)
        others = [math.exp(float(o[i] @ t[j]) / temperature) for j in range(len(ids)) if ids[j] != ids[i]]
        losses.append(-math.log(own / (own + math.fsum(others))))
    return sum(losses) / len(losses)


def rows(count: int, dim: int, seed: int) -> tuple[Tensor, Tensor]:
    output, target = torch.randn(2, count, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return output, target


@given(
    ids=st.lists(st.integers(0, 4), min_size=1, max_size=10),
    temperature=st.sampled_from([0.05, 0.2, 1.0]),
    seed=st.integers(0, 2**31),
)
def test_is_the_formula_with_rows_of_the_same_target_masked(
    ids: list[int],
    temperature: float,
    seed: int,
    build_loss: Callable[..., Loss],
    make_batch: Callable[..., Batch],
) -> None:
    output, target = rows(len(ids), 5, seed)
    batch = make_batch(ids)
    there, back = loop(output, target, ids, temperature), loop(target, output, ids, temperature)
    loss = build_loss("info_nce", temperature=temperature)
    assert loss(output, target, batch).item() == pytest.approx(there, rel=1e-9, abs=1e-12)
    loss = build_loss("info_nce", temperature=temperature, symmetric=True)
    assert loss(output, target, batch).item() == pytest.approx((there + back) / 2, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("temperature", "symmetric", "expected"),
    [
        (0.05, False, 10.263943648262783),
        (0.2, False, 2.986830874440125),
        (0.05, True, 10.803809358152137),
        (0.2, True, 3.073156705136435),
    ],
)
def test_equals_multiple_negatives_ranking_of_sentence_transformers(
    temperature: float,
    symmetric: bool,
    expected: float,
    build_loss: Callable[..., Loss],
    make_batch: Callable[..., Batch],
) -> None:
    """The numbers of sentence-transformers 6.2 on the same tensors, computed by
    ``MultipleNegativesRankingLoss(None, scale=1 / temperature).compute_loss_from_embeddings([output, target], None)``,
    for symmetric with ``directions=("query_to_doc", "doc_to_query")`` and ``partition_mode="per_direction"``.
    """
    index = torch.arange(30, dtype=torch.float64).reshape(6, 5)
    output = torch.sin(1 + index)
    target = torch.cos(0.7 * index) + 0.3 * output
    loss = build_loss("info_nce", temperature=temperature, symmetric=symmetric)
    assert loss(output, target, make_batch(range(6))).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("ids", [[7], [7, 7, 7]])
def test_without_negatives_loss_and_gradient_are_zero(
    ids: list[int], symmetric: bool, build_loss: Callable[..., Loss], make_batch: Callable[..., Batch]
) -> None:
    output, target = rows(len(ids), 4, seed=0)
    output.requires_grad_()
    loss = build_loss("info_nce", symmetric=symmetric)(output, target, make_batch(ids))
    loss.backward()
    assert loss.item() == 0
    assert output.grad is not None
    assert not output.grad.any()


def test_a_masked_row_gets_no_gradient_from_its_twin(
    build_loss: Callable[..., Loss], make_batch: Callable[..., Batch]
) -> None:
    """Rows 0 and 1 share a target, so nothing that row 1 could be changes row 0's part of the loss."""
    output, target = rows(3, 4, seed=1)
    target[1] = target[0]
    loss, batch = build_loss("info_nce"), make_batch([5, 5, 6])
    output.requires_grad_()
    loss(output, target, batch).backward()
    together = output.grad
    assert together is not None
    for row, alone_ids in ((0, [0, 2]), (1, [1, 2])):
        alone = output.detach()[alone_ids].requires_grad_()
        loss(alone, target[alone_ids], make_batch([5, 6])).backward()
        assert alone.grad is not None
        torch.testing.assert_close(3 * together[row], 2 * alone.grad[0])


def test_temperature_is_a_twentieth_by_default(
    build_loss: Callable[..., Loss], make_batch: Callable[..., Batch]
) -> None:
    output, target = rows(6, 4, seed=2)
    batch = make_batch(range(6))
    torch.testing.assert_close(
        build_loss("info_nce")(output, target, batch), build_loss("info_nce", temperature=0.05)(output, target, batch)
    )


def test_in_group_a_row_is_told_from_rows_of_its_group_alone(
    build_loss: Callable[..., Loss], make_batch: Callable[..., Batch]
) -> None:
    output, target = rows(7, 4, seed=2)
    groups = torch.tensor([0, 1, 0, 2, 1, 0, 1])
    batch = attrs.evolve(make_batch(range(7)), group_ids=groups)
    for options in ({}, {"symmetric": True}, {"label_smoothing": 0.2}):
        together = build_loss("info_nce", in_group=True, **options)(output, target, batch)
        alone = [
            len(part) * build_loss("info_nce", **options)(output[part], target[part], make_batch(range(len(part))))
            for part in ((groups == group).nonzero().flatten() for group in range(3))
        ]
        torch.testing.assert_close(together, torch.stack(alone).sum() / 7)


def test_in_group_keeps_the_negatives_that_were_found(
    build_loss: Callable[..., Loss], make_batch: Callable[..., Batch]
) -> None:
    output, target = rows(2, 4, seed=3)
    wrong = rows(2, 4, seed=4)[0][:, None]
    batch = attrs.evolve(
        make_batch([0, 1]), group_ids=torch.tensor([0, 1]), negatives=wrong, negative_mask=torch.ones(2, 1).bool()
    )
    cosine = torch.nn.functional.cosine_similarity
    difference = (cosine(output, wrong[:, 0]) - cosine(output, target)) / 0.05
    expected = torch.nn.functional.softplus(difference).mean()
    torch.testing.assert_close(build_loss("info_nce", in_group=True)(output, target, batch), expected)


@pytest.mark.parametrize(("groups", "ids"), [([0, 1, 2], [0, 1, 2]), ([0, 0, 1], [5, 5, 6])])
def test_in_group_is_refused_where_no_group_has_two_answers(
    groups: list[int], ids: list[int], build_loss: Callable[..., Any], make_batch: Callable[..., Batch]
) -> None:
    _, target = rows(3, 4, seed=0)
    batch = attrs.evolve(make_batch(ids), group_ids=torch.tensor(groups))
    with pytest.raises(TrainingError, match="no group of the training rows has two different targets"):
        build_loss("info_nce", in_group=True).fit(target, batch)
    build_loss("info_nce").fit(target, batch)
    two = attrs.evolve(make_batch([0, 1, 2]), group_ids=torch.tensor([0, 0, 1]))
    build_loss("info_nce", in_group=True).fit(target, two)


def test_a_memory_bank_knows_of_no_groups(build_loss: Callable[..., Loss]) -> None:
    with pytest.raises(ValueError, match="leave out memory_bank or in_group"):
        build_loss("info_nce", in_group=True, memory_bank=8)
