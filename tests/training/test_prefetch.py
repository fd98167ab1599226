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


def test_the_rows_to_come_are_touched_in_threads(table: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    touched: list[int] = []
    monkeypatch.setattr(Prefetch, "_touch", lambda self, rows: touched.extend(rows.tolist()))
    prefetch = Prefetch([torch.zeros(100, 4), table])
    for step in range(3):
        prefetch.read([torch.arange(20 * step, 20 * step + 20)])
    assert set(touched) >= set(range(40))  # it has waited for those before the last
    prefetch.read([torch.arange(0)])
    assert set(touched) == set(range(60))


def test_a_row_that_cannot_be_read_is_an_error(table: Tensor) -> None:
    prefetch = Prefetch([table])
    prefetch.read([torch.tensor([100])])
    with pytest.raises((IndexError, RuntimeError), match="out of range"):
        prefetch.read([torch.tensor([0])])


def test_nothing_is_read_for_tables_in_memory() -> None:
    prefetch = Prefetch([torch.zeros(10, 4)])
    prefetch.read([torch.tensor([100])])
    prefetch.read([torch.tensor([100])])
    assert prefetch._threads is None
