from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core_engine.recipe.training import SGD, Adam, AdamW, Constant, Cosine, Plateau
from core_engine.training.optim import PlateauState, RateSchedule, build_optimizer


@given(st.integers(1, 500), st.floats(0, 0.9), st.floats(0, 1))
def test_cosine_rises_to_one_and_falls_to_final(total: int, warmup: float, final: float) -> None:
    schedule = RateSchedule(Cosine(warmup=warmup, final=final), total)
    factors = [schedule.factor(step) for step in range(total + 1)]
    assert all(0 <= f <= 1 + 1e-12 for f in factors)
    peak = factors.index(max(factors))
    assert factors[:peak] == sorted(factors[:peak])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    if math.ceil(warmup * total) < total:
        assert factors[total] == pytest.approx(final, abs=1e-9)


def test_cosine_follows_pytorchs_own() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50)
    schedule = RateSchedule(Cosine(warmup=0.0), 50)
    for step in range(50):
        assert schedule.factor(step) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9)
        optimizer.step()
        reference.step()


def test_constant_stays_after_warm_up() -> None:
    schedule = RateSchedule(Constant(warmup=0.1), 100)
    assert [schedule.factor(step) for step in (0, 4, 9, 10, 99)] == [0.1, 0.5, 1.0, 1.0, 1.0]


def test_plateau_waits_its_patience_and_starts_counting_anew() -> None:
    options, state = Plateau(factor=0.5, patience=1), PlateauState()
    factors = []
    for improved in (False, False, True, False, False, False):
        state.update(options, improved)
        factors.append(state.factor)
    assert factors == [1.0, 0.5, 0.5, 0.5, 0.25, 0.25]
    state.update(Cosine(), improved=False)
    assert state.factor == 0.25


@pytest.mark.parametrize(
    ("options", "cls"),
    [
        (AdamW(lr=0.3, weight_decay=0.2), torch.optim.AdamW),
        (Adam(lr=0.3), torch.optim.Adam),
        (SGD(lr=0.3), torch.optim.SGD),
    ],
)
def test_options_reach_the_optimiser(options: AdamW | Adam | SGD, cls: type) -> None:
    optimizer = build_optimizer(options, [("weight", torch.nn.Parameter(torch.zeros(1)))])
    assert type(optimizer) is cls
    group = optimizer.param_groups[0]
    assert group["lr"] == 0.3
    if isinstance(options, AdamW):
        assert group["weight_decay"] == 0.2
