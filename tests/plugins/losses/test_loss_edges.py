"""Where losses come to their bounds: duplicates of the right answer, far pairs, a temperature at its lowest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest
import torch
from core_engine_losses.config import Curriculum
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from core_engine import Batch, ComponentRef, Kind, Loss, LossContext
from core_engine.host.registry import Provider

Build = Callable[..., Loss]
MakeBatch = Callable[..., Batch]


def rows(count: int, dim: int = 8, seed: int = 0) -> tuple[Tensor, Tensor]:
    output, target = torch.randn(2, count, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return output, target


@settings(deadline=None)  # the first example loads what the loss needs
@given(
    ids=st.lists(st.integers(0, 3), min_size=2, max_size=7),
    smoothing=st.sampled_from([0.0, 0.3]),
    bank=st.sampled_from([0, 5]),
    seed=st.integers(0, 2**31),
)
def test_without_the_twins_of_its_answer_a_row_has_the_same_info_nce(
    ids: list[int], smoothing: float, bank: int, seed: int, build_loss: Build, make_batch: MakeBatch
) -> None:
    output, target = rows(len(ids), seed=seed)
    alone = [0, *(row for row, number in enumerate(ids) if number != ids[0])]
    found = []
    for kept in (list(range(len(ids))), alone):
        loss: Any = build_loss("info_nce", temperature=0.2, label_smoothing=smoothing, memory_bank=bank)
        earlier, known = rows(3, seed=seed + 1)
        loss(earlier, known, make_batch([ids[0], 4, 1]))
        found.append(loss.rows(output[kept], target[kept], make_batch([ids[row] for row in kept]))[0])
    torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "options"),
    [("info_nce", {}), ("info_nce", {"label_smoothing": 0.2}), ("triplet", {}), ("triplet", {"distance": "euclidean"})],
)
def test_a_mined_target_that_is_the_rows_own_is_no_wrong_one(
    name: str, options: dict[str, Any], build_loss: Build, make_batch: MakeBatch
) -> None:
    output, target = rows(5)
    others, _ = rows(5, seed=1)
    mined = torch.stack([others, target], dim=1)
    both, first = torch.ones(5, 2, dtype=torch.bool), torch.tensor([[True, False]]).expand(5, 2)
    loss = build_loss(name, **options)
    found = [
        loss(output, target, attrs.evolve(make_batch(range(5)), negatives=mined, negative_mask=mask))
        for mask in (both, first)
    ]
    assert torch.equal(found[0], found[1])  # type: ignore[arg-type]


def test_a_learned_temperature_comes_back_from_its_bound(build_loss: Build, make_batch: MakeBatch) -> None:
    output, target = rows(6)
    loss: Any = build_loss("info_nce", temperature=0.02, learned_temperature=True)
    with torch.no_grad():
        loss.log_temperature.fill_(-20.0)
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.1)
    found = []
    for _ in range(2):  # these outputs are far from their targets, so that a higher temperature is better
        optimizer.zero_grad()
        value, parts = loss(output, target, make_batch(range(6)))
        value.backward()
        optimizer.step()
        found.append(parts["temperature"].item())
    assert found[0] == pytest.approx(0.01)
    assert found[1] > 0.02


@pytest.mark.parametrize("t", [2.0, 60.0, 1e4])
def test_far_pairs_have_a_uniformity_whatever_t(t: float, build_loss: Build, make_batch: MakeBatch) -> None:
    """All pairs of an orthonormal set have a squared distance of 2."""
    output = torch.eye(8).requires_grad_()
    loss = build_loss("uniformity", t=t)(output, output, make_batch(range(8)))
    assert isinstance(loss, Tensor)
    loss.backward()
    assert loss.item() == pytest.approx(-2 * t, rel=1e-6)
    assert output.grad is not None
    assert output.grad.isfinite().all()


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e4])
def test_triplets_of_equal_rows_stay_finite(scale: float, build_loss: Build, make_batch: MakeBatch) -> None:
    for distance in ("cosine", "euclidean"):
        for in_batch in ("hardest", "all"):
            target = torch.full((4, 8), scale)
            output = target.clone().requires_grad_()
            loss = build_loss("triplet", distance=distance, margin=0.3, in_batch=in_batch)(
                output, target, make_batch([0, 1, 1, 2])
            )
            assert isinstance(loss, Tensor)
            loss.backward()
            assert loss.item() == pytest.approx(0.3)
            assert output.grad is not None
            assert output.grad.isfinite().all()


class Fitted(nn.Module):
    """A loss of rows that remembers what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def rows(self, output: Tensor, target: Tensor, batch: Batch) -> Tensor:
        return (output - target).square().sum(-1)

    def fit(self, target: Tensor, batch: Batch) -> None:
        self.told.append("fit")

    def validated(self, output: Tensor, target: Tensor, batch: Batch) -> None:
        self.told.append("validated")


@attrs.frozen
class FittedConfig:
    """Builds it."""

    def build(self, context: LossContext) -> Any:
        return Fitted()


def test_the_loss_inside_a_curriculum_is_fitted_and_told_of_evaluations(make_batch: MakeBatch) -> None:
    inner = ComponentRef(Kind.LOSS, "fitted", FittedConfig(), Provider("tests", "tests", "0"))
    loss: Any = Curriculum(inner).build(LossContext(dim=8, seed=0))
    output, target = rows(3)
    loss.fit(target, make_batch(range(3)))
    loss.validated(output, target, make_batch(range(3)))
    assert loss.inner.told == ["fit", "validated"]
