"""InfoNCE beyond the batch: given negatives, memory bank, learned temperature, label smoothing."""

from __future__ import annotations

import copy
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

from core_engine import Batch, Loss, Ramp

Build = Callable[..., Loss]
MakeBatch = Callable[..., Batch]


def rows(count: int, dim: int = 8, seed: int = 0) -> tuple[Tensor, Tensor]:
    output, target = torch.randn(2, count, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return output, target


def with_negatives(batch: Batch, count: int, seed: int) -> Batch:
    source = torch.Generator().manual_seed(seed)
    shape = (len(batch.indices), count)
    negatives = torch.randn(*shape, 8, dtype=torch.float64, generator=source)
    return attrs.evolve(batch, negatives=negatives, negative_mask=torch.rand(shape, generator=source) < 0.6)


def loop(output: Tensor, target: Tensor, batch: Batch, temperature: float, smoothing: float = 0.0) -> float:
    """Cross-entropy over each row's candidates, listed one by one; its own target first."""
    o, t = F.normalize(output, dim=-1), F.normalize(target, dim=-1)
    ids, total = batch.target_ids.tolist(), 0.0
    for i in range(len(ids)):
        candidates = [t[i], *(t[j] for j in range(len(ids)) if ids[j] != ids[i])]
        if batch.negatives is not None:
            candidates += list(F.normalize(batch.negatives[i][batch.negative_mask[i]], dim=-1))
        scores = [float(o[i] @ c) / temperature for c in candidates]
        log_sum = math.log(math.fsum(map(math.exp, scores)))
        mean = math.fsum(score - log_sum for score in scores) / len(scores)
        total -= (1 - smoothing) * (scores[0] - log_sum) + smoothing * mean
    return total / len(ids)


@given(
    ids=st.lists(st.integers(0, 4), min_size=1, max_size=8),
    count=st.integers(1, 4),
    smoothing=st.sampled_from([0.0, 0.1, 0.5]),
    seed=st.integers(0, 2**31),
)
def test_is_the_formula_over_every_candidate(
    ids: list[int], count: int, smoothing: float, seed: int, build_loss: Build, make_batch: MakeBatch
) -> None:
    output, target = rows(len(ids), seed=seed)
    batch = with_negatives(make_batch(ids), count, seed + 1)
    loss = build_loss("info_nce", temperature=0.2, label_smoothing=smoothing)
    assert loss(output, target, batch).item() == pytest.approx(loop(output, target, batch, 0.2, smoothing), abs=1e-9)


def test_label_smoothing_is_pytorchs_where_nothing_is_masked(build_loss: Build, make_batch: MakeBatch) -> None:
    output, target = rows(7)
    logits = F.normalize(output, dim=-1) @ F.normalize(target, dim=-1).T / 0.2
    wanted = F.cross_entropy(logits, torch.arange(7), label_smoothing=0.2)
    found = build_loss("info_nce", temperature=0.2, label_smoothing=0.2)(output, target, make_batch(range(7)))
    torch.testing.assert_close(found, wanted)


def test_equals_the_libraries(build_loss: Build, make_batch: MakeBatch) -> None:
    from pytorch_metric_learning.distances import CosineSimilarity
    from pytorch_metric_learning.losses import NTXentLoss
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    output, target = rows(6, seed=2)
    batch = make_batch(range(6))
    ours = build_loss("info_nce", temperature=0.1)(output, target, batch)
    library = NTXentLoss(temperature=0.1, distance=CosineSimilarity())
    index = torch.arange(6)
    wrong = torch.tensor([(i, j) for i in range(6) for j in range(6) if i != j])
    pairs = (index, index + 6, wrong[:, 0], wrong[:, 1] + 6)
    theirs = library(torch.cat([output, target]), torch.zeros(12, dtype=torch.int64), indices_tuple=pairs)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)

    # The library puts everybody's hard negative before everybody.
    negatives = torch.randn(6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    everybodys = attrs.evolve(
        batch, negatives=negatives.expand(6, -1, -1), negative_mask=torch.ones(6, 6, dtype=torch.bool)
    )
    ours = build_loss("info_nce", temperature=0.1)(output, target, everybodys)
    library = MultipleNegativesRankingLoss(None, scale=10.0)
    theirs = library.compute_loss_from_embeddings([output, target, negatives], None)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)


@pytest.mark.parametrize("options", [{"label_smoothing": 0.1}, {"memory_bank": 6}, {"learned_temperature": True}])
def test_gradients(options: dict[str, Any], build_loss: Build, make_batch: MakeBatch) -> None:
    output, target = rows(5, seed=4)
    batch = with_negatives(make_batch([0, 1, 1, 2, 3]), 3, seed=5)
    loss = build_loss("info_nce", temperature=0.3, **options).double().eval()  # type: ignore[attr-defined]

    def value(o: Tensor, n: Tensor) -> Tensor:
        found = loss(o, target, attrs.evolve(batch, negatives=n))
        return found[0] if isinstance(found, tuple) else found

    assert torch.autograd.gradcheck(value, [output.requires_grad_(), batch.negatives.requires_grad_()])  # type: ignore[union-attr]


@pytest.mark.parametrize("scale", [1e-30, 0.0, 1e15])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_extremes_stay_finite(dtype: torch.dtype, scale: float, build_loss: Build, make_batch: MakeBatch) -> None:
    output, target = (values.mul(scale).clamp(-6e4, 6e4).to(dtype) for values in rows(6))
    batch = with_negatives(make_batch([0, 1, 1, 2, 3, 3]), 3, seed=5)
    batch = attrs.evolve(batch, negatives=batch.negatives.mul(scale).clamp(-6e4, 6e4).to(dtype))  # type: ignore[union-attr]
    output.requires_grad_()
    loss = build_loss("info_nce", label_smoothing=0.1, memory_bank=4, learned_temperature=True)
    with torch.autocast("cpu", dtype=dtype):
        for _ in range(2):
            value, _ = loss(output, target, batch)
            value.backward()
    assert value.isfinite()
    assert output.grad is not None
    assert output.grad.isfinite().all()


def bank_loss(build_loss: Build, size: int) -> Any:
    return build_loss("info_nce", temperature=0.2, memory_bank=size)


def test_the_bank_holds_the_most_recent_targets_as_wrong_ones(build_loss: Build, make_batch: MakeBatch) -> None:
    loss, plain = bank_loss(build_loss, 5), build_loss("info_nce", temperature=0.2)
    target_of = torch.randn(20, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    seen: list[int] = []
    for number, ids in enumerate([[0, 1, 2], [3, 0, 4], [5, 6, 1], [3, 7, 8]]):
        output, _ = rows(3, seed=number)
        batch = make_batch(ids)
        kept = seen[:5]
        given_too = attrs.evolve(
            batch,
            negatives=target_of[kept].float().double().expand(3, -1, -1),
            negative_mask=torch.tensor([[other != own for other in kept] for own in ids]).reshape(3, len(kept)),
        )
        found = loss(output, target_of[ids], batch)
        wanted = plain(output, target_of[ids], given_too if kept else batch)
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-9)
        seen = ids + seen


def test_held_out_rows_neither_see_the_bank_nor_fill_it(build_loss: Build, make_batch: MakeBatch) -> None:
    loss, plain = bank_loss(build_loss, 5), build_loss("info_nce", temperature=0.2)
    output, target = rows(4)
    loss(output, target, make_batch(range(4)))
    before = copy.deepcopy(loss.state_dict())
    loss.eval()
    assert loss(output, target, make_batch([9, 8, 7, 6])) == plain(output, target, make_batch([9, 8, 7, 6]))
    assert all(torch.equal(value, before[name]) for name, value in loss.state_dict().items())


def test_a_bank_goes_on_from_its_state(build_loss: Build, make_batch: MakeBatch) -> None:
    first, second = bank_loss(build_loss, 7), bank_loss(build_loss, 7)
    for number in range(3):
        first(*rows(4, seed=number), make_batch(range(4 * number, 4 * number + 4)))
    second.load_state_dict(first.state_dict())
    output, target = rows(4, seed=9)
    assert first(output, target, make_batch(range(4))) == second(output, target, make_batch(range(4)))


def test_a_temperature_is_learned_and_logged(build_loss: Build, make_batch: MakeBatch) -> None:
    output, target = rows(6)
    batch = make_batch(range(6))
    loss: Any = build_loss("info_nce", temperature=0.2, learned_temperature=True)
    near = target + 0.1 * output
    value, parts = loss(near, target, batch)
    assert parts["temperature"].item() == pytest.approx(0.2)
    assert value.item() == pytest.approx(build_loss("info_nce", temperature=0.2)(near, target, batch).item())
    value.backward()
    # Nothing is wrong here, so that a lower temperature is better.
    assert loss.log_temperature.grad > 0
    with torch.no_grad():
        loss.log_temperature.fill_(-20.0)
    assert loss(output, target, batch)[1]["temperature"].item() == pytest.approx(0.01)


def test_a_temperature_may_follow_a_ramp(build_loss: Build, make_batch: MakeBatch) -> None:
    output, target = rows(6)
    loss = build_loss("info_nce", temperature=Ramp(0.5, 0.1))
    for progress, temperature in ((0.0, 0.5), (0.5, 0.3), (1.0, 0.1)):
        batch = attrs.evolve(make_batch(range(6)), progress=progress)
        fixed = build_loss("info_nce", temperature=temperature)
        torch.testing.assert_close(loss(output, target, batch), fixed(output, target, batch))
