from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from core_engine import CellLoop
from core_engine.errors import EngineError

SHAPE = (2, 2, 3, 1)


class Mix(nn.Module):
    """``state * factor``, plus the drive in the first channel."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(0.5))

    def forward(self, state: Tensor, drive: Tensor) -> Tensor:
        return state * self.factor + torch.nn.functional.pad(drive, (0, state.shape[-1] - drive.shape[-1]))


class Returns(nn.Module):
    def __init__(self, make: object) -> None:
        super().__init__()
        self.make = make

    def forward(self, state: Tensor, drive: Tensor) -> object:
        return self.make(state)  # type: ignore[operator]


def run(cell: nn.Module, steps: int) -> Tensor:
    state, drive = torch.ones(*SHAPE, 3), torch.ones(*SHAPE, 1)
    result: Tensor = CellLoop(cell)(state, drive, steps, 0, torch.arange(2))
    return result


def test_the_cell_runs_once_a_step_with_the_drive_each_time() -> None:
    result = run(Mix(), 3)
    assert torch.equal(result[..., 1], torch.full(SHAPE, 0.125))
    assert torch.equal(result[..., 0], torch.full(SHAPE, 0.125 + 1.75))


def test_gradients_reach_the_cell_through_every_step() -> None:
    cell = Mix()
    run(cell, 2)[..., 1].sum().backward()
    assert cell.factor.grad is not None
    assert cell.factor.grad.item() == pytest.approx(12 * 2 * 0.5)
    assert list(CellLoop(cell).state_dict()) == ["cell.factor"]


def test_the_state_keeps_its_dtype() -> None:
    assert run(Returns(lambda state: state.bfloat16()), 2).dtype == torch.float32


@pytest.mark.parametrize(
    ("make", "got"),
    [
        (lambda state: state[..., :1], r"Returns returned a tensor \[2, 2, 3, 1, 1\] for a state \[2, 2, 3, 1, 3\]"),
        (lambda state: (state, state), r"Returns returned tuple for a state \[2, 2, 3, 1, 3\]"),
        (lambda state: None, r"Returns returned NoneType .*drive \[2, 2, 3, 1, 1\]"),
    ],
)
def test_a_cell_that_returns_no_state(make: object, got: str) -> None:
    with pytest.raises(EngineError, match=got):
        run(Returns(make), 1)
