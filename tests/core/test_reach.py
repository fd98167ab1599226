from __future__ import annotations

import time
from collections import deque
from itertools import product
from typing import Any

import pytest
import torch
from core_engine_kernels import Stencil
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from core_engine import KernelContext
from core_engine.core.reach import reach

Cell = tuple[int, ...]


def neighbours(cell: Cell, size: Cell, periodic: bool, count: int) -> list[Cell]:
    found = []
    for offset in product((-1, 0, 1), repeat=3):
        if count == 6 and sum(map(abs, offset)) > 1:
            continue
        moved = [c + o for c, o in zip(cell, offset, strict=True)]
        if periodic:
            moved = [c % n for c, n in zip(moved, size, strict=True)]
        if all(0 <= c < n for c, n in zip(moved, size, strict=True)):
            found.append(tuple(moved))
    return found


def reached_from(start: Cell, size: Cell, steps: int, periodic: bool, count: int) -> set[Cell]:
    """Breadth-first search."""
    distance = {start: 0}
    queue = deque([start])
    while queue:
        cell = queue.popleft()
        if distance[cell] == steps:
            continue
        for other in neighbours(cell, size, periodic, count):
            if other not in distance:
                distance[other] = distance[cell] + 1
                queue.append(other)
    return set(distance)


def cells_of(mask: Tensor) -> list[Cell]:
    return [tuple(cell) for cell in mask.nonzero().tolist()]


def masks(size: Cell) -> st.SearchStrategy[Tensor]:
    count = size[0] * size[1] * size[2]
    lists = st.lists(st.booleans(), min_size=count, max_size=count).filter(any)
    return lists.map(lambda values: torch.tensor(values).reshape(size))


SIZES = st.tuples(*[st.integers(1, 5)] * 3)


@given(data=st.data(), size=SIZES, steps=st.integers(0, 9), periodic=st.booleans(), count=st.sampled_from([6, 26]))
@settings(max_examples=200, deadline=None)
def test_equal_to_breadth_first_search(data: st.DataObject, size: Cell, steps: int, periodic: bool, count: int) -> None:
    inputs, outputs = data.draw(masks(size)), data.draw(masks(size))
    sources, sinks = cells_of(inputs), set(cells_of(outputs))
    connected = [reached_from(source, size, steps, periodic, count) & sinks for source in sources]
    found = reach(inputs, outputs, steps, periodic, count)
    assert found.share_of_inputs == pytest.approx(sum(map(bool, connected)) / len(sources))
    assert found.share_of_outputs == pytest.approx(len(set().union(*connected)) / len(sinks))
    assert found.share_of_pairs == pytest.approx(sum(map(len, connected)) / (len(sources) * len(sinks)))


@pytest.mark.parametrize("count", [6, 26])
@pytest.mark.parametrize("boundary", ["zero", "periodic"])
@pytest.mark.parametrize("size", [(3, 4, 2), (5, 1, 3)])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_equal_to_what_gradients_say_of_a_real_cell(count: Any, boundary: str, size: Cell, steps: int) -> None:
    cell = Stencil(hidden=8, activation="silu", boundary=boundary, neighbours=count).build(  # type: ignore[arg-type]
        KernelContext(size=size, channels=3, drive_channels=1, seed=0)  # type: ignore[arg-type]
    )
    source = torch.Generator().manual_seed(1)
    with torch.no_grad():
        cell.update_weight.copy_(torch.randn(cell.update_weight.shape, generator=source))
    cell = cell.double()
    drive = torch.randn(1, *size, 1, generator=source, dtype=torch.float64)

    def final_state(drive: Tensor) -> Tensor:
        state = torch.nn.functional.pad(drive, (0, 2))
        result: Tensor = cell(state, drive, steps, 0, torch.zeros(1, dtype=torch.int64))
        return result[0, ..., 0].flatten()

    jacobian = torch.autograd.functional.jacobian(final_state, drive).reshape(drive.numel(), drive.numel())
    support = jacobian != 0  # [output cell, input cell]
    inputs, outputs = torch.zeros(size, dtype=torch.bool), torch.zeros(size, dtype=torch.bool)
    inputs.view(-1)[::2] = True
    outputs.view(-1)[1::3] = True
    part = support[outputs.flatten()][:, inputs.flatten()]
    found = reach(inputs, outputs, steps, cell.periodic, cell.neighbours)
    assert found.share_of_pairs == pytest.approx(part.double().mean().item())
    assert found.share_of_inputs == pytest.approx(part.any(0).double().mean().item())
    assert found.share_of_outputs == pytest.approx(part.any(1).double().mean().item())


def test_faces_that_do_not_meet_are_told_from_those_that_do() -> None:
    face, opposite = torch.zeros(8, 4, 4, dtype=torch.bool), torch.zeros(8, 4, 4, dtype=torch.bool)
    face[0], opposite[-1] = True, True
    assert reach(face, opposite, 6, periodic=False).share_of_inputs == 0
    assert reach(face, opposite, 7, periodic=False).share_of_inputs == 1
    assert reach(face, opposite, 7, periodic=False).share_of_pairs == pytest.approx(1 / 16)
    assert reach(face, opposite, 1, periodic=True).share_of_inputs == 1


def test_a_large_lattice_takes_a_moment() -> None:
    everything = torch.ones(64, 64, 64, dtype=torch.bool)
    started = time.perf_counter()
    assert reach(everything, everything, 500, periodic=False).share_of_pairs == 1
    assert reach(everything, everything, 3, periodic=True).share_of_pairs == pytest.approx(63 / 64**3)
    assert time.perf_counter() - started < 10


def test_no_cells_is_an_error() -> None:
    none, one = torch.zeros(2, 2, 2, dtype=torch.bool), torch.ones(2, 2, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match="at least one"):
        reach(none, one, 1, periodic=False)
    with pytest.raises(ValueError, match=r"\[2, 2, 2\] and \[2, 2\]"):
        reach(one, one[0], 1, periodic=False)
