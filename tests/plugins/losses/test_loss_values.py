"""Cosine, mse and combined against loops in double precision."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core_engine import Batch, Loss

Rows = Sequence[Sequence[float]]
rows = st.integers(1, 5).flatmap(
    lambda dim: st.lists(
        st.tuples(*[st.lists(st.floats(-100, 100).map(lambda x: round(x, 3)), min_size=dim, max_size=dim)] * 2),
        min_size=1,
        max_size=6,
    )
)


def cosine_loop(outputs: Rows, targets: Rows) -> float:
    losses = []
    for o, t in zip(outputs, targets, strict=True):
        lengths = math.sqrt(sum(x * x for x in o)) * math.sqrt(sum(x * x for x in t))
        losses.append(1 - sum(x * y for x, y in zip(o, t, strict=True)) / lengths if lengths else 1.0)
    return sum(losses) / len(losses)


def mse_loop(outputs: Rows, targets: Rows) -> float:
    squares = [(x - y) ** 2 for o, t in zip(outputs, targets, strict=True) for x, y in zip(o, t, strict=True)]
    return sum(squares) / len(squares)


@given(pairs=rows)
def test_cosine_and_mse_are_their_formulas(
    pairs: list[tuple[list[float], list[float]]], build_loss: Callable[..., Loss], make_batch: Callable[..., Batch]
) -> None:
    outputs, targets = zip(*pairs, strict=True)
    o, t = torch.tensor(outputs, dtype=torch.float64), torch.tensor(targets, dtype=torch.float64)
    batch = make_batch(range(len(pairs)))
    assert build_loss("cosine")(o, t, batch).item() == pytest.approx(cosine_loop(outputs, targets), abs=1e-12)
    assert build_loss("mse")(o, t, batch).item() == pytest.approx(mse_loop(outputs, targets), rel=1e-12)


def test_cosine_by_direction(build_loss: Callable[..., Loss], make_batch: Callable[..., Batch]) -> None:
    target = torch.tensor([[3.0, 4.0]])
    cosine, batch = build_loss("cosine"), make_batch([0])
    assert cosine(7 * target, target, batch).item() == pytest.approx(0, abs=1e-7)
    assert cosine(-target, target, batch).item() == pytest.approx(2)
    assert cosine(torch.tensor([[-4.0, 3.0]]), target, batch).item() == pytest.approx(1)


def test_mse_of_unit_rows_is_two_over_dim_times_cosine(
    build_loss: Callable[..., Loss], make_batch: Callable[..., Batch]
) -> None:
    output, target = torch.nn.functional.normalize(torch.randn(2, 16, 24, dtype=torch.float64), dim=-1)
    batch = make_batch(range(16))
    cosine, mse = build_loss("cosine")(output, target, batch), build_loss("mse")(output, target, batch)
    torch.testing.assert_close(mse, 2 / 24 * cosine)


def test_combined_is_the_weighted_sum_and_names_its_parts(
    build_loss: Callable[..., Loss], make_batch: Callable[..., Batch]
) -> None:
    output, target = torch.randn(8, 6, requires_grad=True), torch.randn(8, 6)
    batch = make_batch(range(8))
    total, parts = build_loss("combined", cosine_weight=0.25, mse_weight=3.0)(output, target, batch)
    assert set(parts) == {"cosine", "mse"}
    torch.testing.assert_close(parts["cosine"], build_loss("cosine")(output, target, batch).detach())
    torch.testing.assert_close(parts["mse"], build_loss("mse")(output, target, batch).detach())
    torch.testing.assert_close(total, 0.25 * parts["cosine"] + 3 * parts["mse"])
    assert total.requires_grad
    assert not any(part.requires_grad for part in parts.values())
