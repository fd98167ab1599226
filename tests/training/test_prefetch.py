from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from core_engine.memory import tables
from core_engine.memory.tables import new_table
from core_engine.training.prefetch import Prefetch


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tensor:
    monkeypatch.setenv("CORE_ENGINE_CACHE", str(tmp_path))
    monkeypatch.setattr(tables, "free_memory", lambda device: 0)
    return new_table(100, 1500)


def test_the_rows_to_come_are_touched_in_a_thread(table: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    touched: list[Tensor] = []
    monkeypatch.setattr(Prefetch, "_touch", lambda self, rows: touched.append(rows))
    prefetch = Prefetch([torch.zeros(100, 4), table])
    for step in range(3):
        prefetch.read(torch.arange(step, step + 5))
    prefetch.read(torch.arange(0))  # waits for the one before
    assert [rows.tolist() for rows in touched[:3]] == [[0, 1, 2, 3, 4], [1, 2, 3, 4, 5], [2, 3, 4, 5, 6]]


def test_a_row_that_cannot_be_read_is_an_error(table: Tensor) -> None:
    prefetch = Prefetch([table])
    prefetch.read(torch.tensor([100]))
    with pytest.raises((IndexError, RuntimeError), match="out of range"):
        prefetch.read(torch.tensor([0]))


def test_nothing_is_read_for_tables_in_memory() -> None:
    prefetch = Prefetch([torch.zeros(10, 4)])
    prefetch.read(torch.tensor([100]))
    prefetch.read(torch.tensor([100]))
    assert prefetch._thread is None
