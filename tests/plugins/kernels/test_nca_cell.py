"""What is the cellular automaton's own: what it perceives, and when it updates."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from core_engine_kernels import Nca
from core_engine_kernels.nca.cell import NcaCell
from core_engine_kernels.nca.perception import perceive

from core_engine import KernelContext

SIZE = (4, 3, 2)


def build(**options: Any) -> NcaCell:
    return Nca(hidden=7, **options).build(KernelContext(SIZE, channels=5, drive_channels=2, seed=0))


@pytest.mark.parametrize(
    "options", [{"hidden": 0}, {"fire_rate": 0.0}, {"fire_rate": 1.1}, {"fire_rate": math.nan}, {"fire_rate": -0.5}]
)
def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Nca(**options)


def test_parameters_have_the_documented_names_shapes_and_values() -> None:
    cell = Nca(hidden=128).build(KernelContext(SIZE, channels=16, drive_channels=4, seed=0))
    assert {name: tuple(p.shape) for name, p in cell.named_parameters()} == {
        "perception_weight": (128, 4, 16),
        "drive_weight": (128, 4),
        "hidden_bias": (128,),
        "update_weight": (16, 128),
        "update_bias": (16,),
    }
    for values in (cell.perception_weight, cell.drive_weight):
        assert values.std().item() == pytest.approx((4 * 16 + 4) ** -0.5, rel=0.1)
    assert not any(values.any() for values in (cell.hidden_bias, cell.update_weight, cell.update_bias))


def test_a_slope_is_perceived_as_what_it_is() -> None:
    x, y, z = torch.meshgrid(*(torch.arange(5.0) for _ in range(3)), indexing="ij")
    state = (2 * x - 3 * y + 0.5 * z + 1)[None, ..., None]
    perceived = perceive(state)
    assert torch.equal(perceived[..., :1], state)
    inside = perceived[0, 1:-1, 1:-1, 1:-1, 1:]
    torch.testing.assert_close(inside, torch.tensor([2, -3, 0.5]).expand_as(inside))


def test_an_untrained_cell_leaves_the_state_as_it_is() -> None:
    state = torch.randn(2, *SIZE, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(build()(state, state[..., :2], 5, 0, torch.arange(2)), state)


@pytest.mark.parametrize("fire_rate", [0.2, 0.5, 1.0])
def test_cells_update_with_their_probability_each_for_itself_and_in_each_step_anew(fire_rate: float) -> None:
    size, steps = (8, 8, 8), 6
    cell = Nca(hidden=2, fire_rate=fire_rate).build(KernelContext(size, channels=3, drive_channels=1, seed=0))
    with torch.no_grad():
        cell.update_bias.fill_(1.0)  # so that the state counts updates
    state, drive, ids = torch.zeros(20, *size, 3), torch.zeros(20, *size, 1), torch.arange(20)
    counts = cell.eval()(state, drive, steps, 3, ids)
    assert torch.equal(counts, counts[..., :1].expand_as(counts)), "all channels of a cell at once"
    times = counts[..., 0].double()
    n = times.numel()
    variance = steps * fire_rate * (1 - fire_rate)
    assert abs(times.mean().item() - steps * fire_rate) <= 5 * math.sqrt(variance / n)
    assert times.var().item() == pytest.approx(variance, rel=0.1, abs=1e-9), "steps are independent"
    assert torch.equal(cell(state, drive, steps, 3, ids), counts)
    if fire_rate < 1:
        assert not torch.equal(cell(state, drive, steps, 4, ids), counts)
        assert not torch.equal(cell(state, drive, steps, 3, ids + 1), counts)


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    build()(torch.zeros(2, *SIZE, 5), torch.zeros(2, *SIZE, 2), 3, 0, torch.arange(2))
    assert torch.equal(torch.get_rng_state(), before)


def test_it_says_how_far_it_sees() -> None:
    assert build().neighbours == 26
