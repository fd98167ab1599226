"""The sums of an epoch: the same whenever they are read, and of steps with a finite gradient alone."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core_engine.training.tally import Tally

NUMBERS = st.floats(-1e6, 1e6, width=32)
NORMS = st.one_of(st.floats(0, 1e6, width=32), st.sampled_from([math.nan, math.inf]))
#: Norm, figures, rows, and whether the tally is read, or saved and loaded, after the step.
STEPS = st.lists(
    st.tuples(
        NORMS,
        st.dictionaries(st.sampled_from(["loss", "loss/a"]), NUMBERS, min_size=1),
        st.integers(1, 64),
        st.sampled_from(["", "", "read", "saved"]),
    ),
    min_size=1,
    max_size=12,
)


def filled(steps: list[tuple[float, dict[str, float], int, str]], interrupted: bool) -> Tally:
    tally = Tally()
    for norm, means, rows, then in steps:
        tally.add(torch.tensor(norm), {name: torch.tensor(value) for name, value in means.items()}, rows)
        if interrupted and then == "read":
            tally.read()
        if interrupted and then == "saved":
            state, tally = tally.state_dict(), Tally()
            tally.load_state_dict(state)
    tally.read()
    return tally


@given(STEPS)
def test_sums_do_not_depend_on_when_they_were_read_or_saved(
    steps: list[tuple[float, dict[str, float], int, str]],
) -> None:
    assert filled(steps, interrupted=True).state_dict() == filled(steps, interrupted=False).state_dict()


@given(STEPS)
def test_means_are_over_the_rows_of_the_steps_with_a_finite_gradient(
    steps: list[tuple[float, dict[str, float], int, str]],
) -> None:
    tally = filled(steps, interrupted=False)
    good = [step for step in steps if math.isfinite(step[0])]
    assert (tally.steps, tally.bad) == (len(steps), len(steps) - len(good))
    bad = [number for number, step in enumerate(steps, 1) if not math.isfinite(step[0])]
    assert tally.first_bad == (bad[0] if bad else None)
    if not good:
        assert tally.means() == {}
        return
    rows = sum(step[2] for step in good)
    expected = {"grad_norm": sum(step[0] for step in good) / len(good)}
    for name in {name for step in steps for name in step[1]}:
        expected[name] = sum(step[1].get(name, 0.0) * step[2] for step in good) / rows
    assert tally.means() == pytest.approx(expected, rel=1e-9, abs=1e-6)
