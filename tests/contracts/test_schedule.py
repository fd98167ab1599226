from __future__ import annotations

import math

import pytest
from attrs import field, frozen
from attrs.validators import gt
from hypothesis import given
from hypothesis import strategies as st

from core_engine import Pacing, Ramp, Scheduled, each_value, value_at


def test_a_number_is_the_same_throughout() -> None:
    assert [value_at(0.3, progress) for progress in (0.0, 0.5, 1.0)] == [0.3] * 3


@given(st.floats(-5, 5), st.floats(-5, 5), st.sampled_from(["linear", "cosine"]), st.floats(0, 1))
def test_a_ramp_stays_between_its_ends_and_reaches_both(start: float, end: float, shape: str, progress: float) -> None:
    ramp = Ramp(start, end, begin=0.25, until=0.75, shape=shape)  # type: ignore[arg-type]
    assert [ramp.at(0.0), ramp.at(0.25)] == [start, start]
    assert math.isclose(ramp.at(0.75), end, abs_tol=1e-12)
    assert ramp.at(1.0) == ramp.at(0.75)
    assert min(start, end) - 1e-9 <= ramp.at(progress) <= max(start, end) + 1e-9
    assert math.isclose(ramp.at(0.5), (start + end) / 2, abs_tol=1e-9)


def test_shapes_differ_between_the_ends() -> None:
    assert Ramp(0, 1).at(0.25) == 0.25
    assert math.isclose(Ramp(0, 1, shape="cosine").at(0.25), 0.5 - 0.5 * math.cos(math.pi / 4))


def test_a_ramp_ends_after_it_begins() -> None:
    with pytest.raises(ValueError, match=r"until \(0\.5\) must be later than begin \(0\.5\)"):
        Ramp(0, 1, begin=0.5, until=0.5)


def test_both_ends_are_validated() -> None:
    @frozen
    class Options:
        rate: Scheduled = field(validator=each_value(gt(0)))

    Options(Ramp(1.0, 2.0))
    for value in (0.0, Ramp(0.0, 1.0), Ramp(1.0, -1.0)):
        with pytest.raises(ValueError, match="'rate' must be > 0"):
            Options(value)


@pytest.mark.parametrize("pacing", [Pacing(), Pacing("root"), Pacing("step"), Pacing("root", power=4, start=0.01)])
def test_a_pacing_grows_from_its_start_to_everything(pacing: Pacing) -> None:
    shares = [pacing.share(i / 40) for i in range(41)]
    assert math.isclose(shares[0], pacing.start)
    assert shares == sorted(shares)
    assert all(math.isclose(share, 1.0) for share in shares[20:])
    assert shares[19] < 1


def test_pacing_formulas() -> None:
    assert math.isclose(Pacing(start=0.2).share(0.25), 0.2 + 0.8 * 0.5)
    assert math.isclose(Pacing("root", start=0.2).share(0.25), math.sqrt(0.04 + 0.96 * 0.5))
    stepped = [Pacing("step", start=0.2, until=1, stages=2).share(p) for p in (0.49, 0.5, 1.0)]
    assert stepped == pytest.approx([0.2, 0.6, 1.0])


def test_an_option_of_another_shape_is_an_error() -> None:
    with pytest.raises(ValueError, match="power has no effect on shape step"):
        Pacing("step", power=3)
