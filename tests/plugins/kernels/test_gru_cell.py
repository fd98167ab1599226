"""What is the gated recurrent cell's own: its parameters, and what an untrained one does."""

from __future__ import annotations

import pytest
import torch
from core_engine_kernels import Gru
from core_engine_kernels.gru.cell import GruCell

from core_engine import KernelContext

SIZE = (4, 3, 2)


def build(channels: int = 5, drive: int = 2) -> GruCell:
    return Gru().build(KernelContext(SIZE, channels, drive, seed=0))


def test_parameters_have_the_documented_names_shapes_and_values() -> None:
    cell = build(channels=16, drive=4)
    assert {name: tuple(p.shape) for name, p in cell.named_parameters()} == {
        "own_weight": (3, 16, 16),
        "neighbour_weight": (3, 16, 6, 16),
        "drive_weight": (3, 16, 4),
        "bias": (3, 16),
    }
    for values in (cell.own_weight, cell.neighbour_weight, cell.drive_weight):
        assert not values[0].any()
        assert values[1:].std().item() == pytest.approx((7 * 16 + 4) ** -0.5, rel=0.15)
    assert (cell.bias[0] == -4).all()
    assert not cell.bias[1:].any()


def test_an_untrained_cell_nearly_keeps_its_state() -> None:
    cell = build()
    state = torch.randn(8, *SIZE, 5, generator=torch.Generator().manual_seed(0))
    drive, ids = state[..., :2], torch.arange(8)
    kept = torch.sigmoid(torch.tensor(4.0))
    once = cell(state, drive, 1, 0, ids)
    assert (once - kept * state).abs().max() <= 1 - kept, "what is not kept is a candidate between -1 and 1"
    four = cell(state, drive, 4, 0, ids)
    assert ((four - state).norm() / state.norm()).item() < 0.1


def test_an_open_update_gate_takes_the_candidate_and_a_closed_reset_gate_forgets_the_state() -> None:
    cell = build()
    with torch.no_grad():
        cell.neighbour_weight.zero_()
        cell.drive_weight.zero_()
        cell.bias[0], cell.bias[1], cell.bias[2] = 40.0, -200.0, 0.5
    state = torch.randn(2, *SIZE, 5, generator=torch.Generator().manual_seed(0))
    result = cell(state, state[..., :2], 1, 0, torch.arange(2))
    torch.testing.assert_close(result, torch.full_like(result, 0.5).tanh())
