"""Similarity and relational distillation against loops in double precision, and what every loss must stand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from distilling import LOSSES, batch_with, build, normal
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from core_engine import Ramp
from core_engine.errors import RecipeError, TrainingError

BOTH = ["similarity_distillation", "relational_distillation"]

both = pytest.mark.parametrize("name", BOTH)


def cosine(x: Tensor, y: Tensor) -> float:
    return float(x @ y / (x.norm() * y.norm()))


def similarity_loop(output: Tensor, target: Tensor, temperature: float) -> float:
    total = 0.0
    for i in range(len(output)):
        others = [j for j in range(len(output)) if j != i]
        q = [math.exp(cosine(output[i], output[j]) / temperature) for j in others]
        p = [math.exp(cosine(target[i], target[j]) / temperature) for j in others]
        p, q = [x / math.fsum(p) for x in p], [x / math.fsum(q) for x in q]
        total += math.fsum(x * math.log(x / y) for x, y in zip(p, q, strict=True))
    return temperature**2 * total / len(output)


def relational_loop(output: Tensor, target: Tensor) -> float:
    pairs = [(i, j) for i in range(len(output)) for j in range(len(output)) if i != j]

    def relative(rows: Tensor) -> list[float]:
        distances = [math.dist(rows[i].tolist(), rows[j].tolist()) for i, j in pairs]
        return [distance / (math.fsum(distances) / len(distances)) for distance in distances]

    errors = [abs(o - t) for o, t in zip(relative(output), relative(target), strict=True)]
    return math.fsum(e * e / 2 if e < 1 else e - 0.5 for e in errors) / len(errors)


@given(rows=st.integers(2, 7), dims=st.tuples(st.integers(2, 6), st.integers(2, 6)), seed=st.integers(0, 2**31))
def test_both_are_their_formulas_whatever_the_dimensions(rows: int, dims: tuple[int, int], seed: int) -> None:
    output, other = normal(rows, dims[0], seed=seed), 3 * normal(rows, dims[1], seed=seed + 1)
    batch, further = batch_with(rows, further={"big": other}), {"big": dims[1]}
    for temperature in (0.05, 0.5):
        loss = build("similarity_distillation", dims[0], further, teacher="big", temperature=temperature)
        found = loss(output, torch.full_like(output, torch.nan), batch).item()
        assert found == pytest.approx(similarity_loop(output, other, temperature), rel=1e-6, abs=1e-12)
    found = build("relational_distillation", dims[0], further, teacher="big")(output, output, batch).item()
    assert found == pytest.approx(relational_loop(output, other), rel=1e-6, abs=1e-12)


@both
def test_without_a_teacher_the_target_is_compared_with(name: str) -> None:
    output, target = normal(6, 5, seed=0), normal(6, 5, seed=1)
    named = build(name, 5, {"big": 5}, teacher="big")(output, output, batch_with(6, further={"big": target}))
    assert torch.equal(build(name, 5)(output, target, batch_with(6)), named)
    assert named > 0


def test_a_few_large_errors_count_linearly() -> None:
    """One row far off: its relative distance differs by more than 1, beyond the square part of Huber's loss."""
    output, target = normal(12, 3, seed=2), normal(12, 3, seed=3)
    output[0] *= 300
    found = build("relational_distillation", 3)(output, target, batch_with(12)).item()
    assert found == pytest.approx(relational_loop(output, target), rel=1e-9)
    assert found > 0.5


@both
def test_the_loss_is_the_mean_of_its_rows(name: str) -> None:
    loss, output, target = build(name, 5), normal(6, 5, seed=0), normal(6, 5, seed=1)
    rows = loss.rows(output, target, batch_with(6))
    assert rows.shape == (6,)
    torch.testing.assert_close(rows.mean(), loss(output, target, batch_with(6)))
    order = torch.tensor([3, 1, 0, 5, 2, 4])
    torch.testing.assert_close(loss.rows(output[order], target[order], batch_with(6)), rows[order])


@both
def test_geometry_alone_counts(name: str) -> None:
    """A turned and scaled copy of the targets has no loss."""
    target = normal(8, 4, seed=4)
    turn = torch.linalg.qr(normal(4, 4, seed=5)).Q
    assert build(name, 4)(7 * target @ turn, target, batch_with(8)).abs() < 1e-12


def test_temperature_follows_the_run() -> None:
    output, target = normal(6, 5, seed=0), normal(6, 5, seed=1)
    loss = build("similarity_distillation", 5, temperature=Ramp(1.0, 0.1))
    for progress, temperature in ((0.0, 1.0), (0.5, 0.55), (1.0, 0.1)):
        found = loss(output, target, batch_with(6, progress)).item()
        assert found == pytest.approx(similarity_loop(output, target, temperature), rel=1e-9)


@both
def test_gradient(name: str) -> None:
    loss, target, batch = build(name, 5), normal(6, 5, seed=1), batch_with(6)
    assert torch.autograd.gradcheck(
        lambda o: loss(o, target, batch), [normal(6, 5, seed=0).requires_grad_()], atol=1e-6
    )


@both
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(name: str, dtype: torch.dtype) -> None:
    loss, output, target = build(name, 8), normal(8, 8, seed=0).to(dtype), normal(8, 8, seed=1).to(dtype)
    expected = loss(output.float(), target.float(), batch_with(8))
    with torch.autocast("cpu", dtype=dtype):
        for found in (loss(output, target, batch_with(8)), loss(output.float(), target.float(), batch_with(8))):
            assert found.dtype == torch.float32
            torch.testing.assert_close(found, expected)


@both
@pytest.mark.parametrize(
    ("dtype", "scale"),
    [(torch.float16, 1e-4), (torch.float16, 1.5e4), (torch.bfloat16, 1e-30), (torch.bfloat16, 1e15)],
)
def test_extreme_rows_stay_finite(name: str, dtype: torch.dtype, scale: float) -> None:
    output = (scale * normal(8, 8, seed=0)).to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=dtype):
        loss = build(name, 8)(output, (scale * normal(8, 8, seed=1)).to(dtype), batch_with(8))
    loss.backward()
    assert loss.isfinite()
    assert output.grad is not None
    assert output.grad.isfinite().all()


@both
@pytest.mark.parametrize("same", ["one zero row", "two equal rows", "all equal"])
def test_rows_without_a_direction_or_a_distance_stay_finite(name: str, same: str) -> None:
    output, target = normal(6, 4, seed=0), normal(6, 4, seed=1)
    for rows in (output, target):
        if same == "one zero row":
            rows[2] = 0
        else:
            rows[: 2 if same == "two equal rows" else 6] = rows[0].clone()
    output.requires_grad_()
    loss = build(name, 4)(output, target, batch_with(6))
    loss.backward()
    assert loss.isfinite()
    assert output.grad is not None
    assert output.grad.isfinite().all()


@both
def test_one_row_teaches_nothing(name: str) -> None:
    output = normal(1, 4, seed=0).requires_grad_()
    loss = build(name, 4)(output, normal(1, 4, seed=1), batch_with(1))
    loss.backward()
    assert loss.item() == 0
    assert output.grad is not None
    assert not output.grad.any()


@both
def test_nan_is_not_hidden(name: str) -> None:
    output = normal(6, 4, seed=0)
    output[1, 0] = torch.nan
    assert build(name, 4)(output, normal(6, 4, seed=1), batch_with(6)).isnan()


@both
def test_a_small_core_learns_the_geometry_of_a_larger_teacher(name: str) -> None:
    inputs, teacher = normal(24, 6, seed=0, dtype=torch.float32), normal(6, 40, seed=1, dtype=torch.float32)
    loss, batch = build(name, 5, {"big": 40}, teacher="big"), batch_with(24, further={"big": inputs @ teacher})
    core = nn.Linear(6, 5)
    with torch.no_grad():
        core.weight.copy_(normal(5, 6, seed=2))
    optimizer = torch.optim.Adam(core.parameters(), lr=0.05)
    losses = []
    for _ in range(120):
        optimizer.zero_grad()
        losses.append(loss(core(inputs), torch.zeros(24, 5), batch))
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.3 * losses[0]


@both
def test_an_unknown_teacher_is_refused_at_build(name: str) -> None:
    with pytest.raises(RecipeError, match=rf"{name}.*no further teacher 'huge'; the further ones are: big, wide"):
        build(name, 4, {"big": 8, "wide": 16}, teacher="huge")
    with pytest.raises(RecipeError, match=r"no further teacher 'big'; it has no further ones\. Use a teacher of type"):
        build(name, 4, teacher="big")


@both
def test_a_batch_without_the_teacher_is_refused(name: str) -> None:
    loss = build(name, 4, {"big": 8}, teacher="big")
    with pytest.raises(TrainingError, match="no embeddings by teacher 'big'"):
        loss(normal(6, 4, seed=0), normal(6, 4, seed=1), batch_with(6))


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, Ramp(0.1, 0.0)])
def test_bad_temperatures_are_refused(temperature: Any) -> None:
    with pytest.raises(ValueError, match="temperature"):
        LOSSES["similarity_distillation"](temperature=temperature)
