from __future__ import annotations

import errno
import gc
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from core_engine.errors import OutputError
from core_engine.memory import tables
from core_engine.memory.tables import (
    BLOCK,
    joined,
    lies_in_file,
    mapped,
    mean_row,
    new_table,
    numbers_of_rows,
    sum_of_squares,
    take,
)


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The user's cache folder, on a machine with 4,000 bytes free."""
    monkeypatch.setenv("CORE_ENGINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tables, "free_memory", lambda device: 4000)
    return tmp_path / "cache"


def drawn(rows: int, dim: int = 3) -> Tensor:
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(rows))


def test_a_table_lies_in_a_file_where_it_would_take_over_a_quarter_of_the_free_memory(little_memory: Path) -> None:
    small, large = new_table(250, 1), new_table(251, 1)
    assert not lies_in_file(small)
    assert lies_in_file(large)
    assert (large.shape, large.dtype) == ((251, 1), torch.float32)
    assert lies_in_file(large[10:20])


def test_the_file_is_gone_with_the_table(little_memory: Path) -> None:
    table = new_table(1000, 8)
    table[:] = 1.0
    assert not list(little_memory.iterdir())  # it has no name
    used = [path for path in Path("/proc/self/maps").read_text().splitlines() if str(little_memory) in path]
    assert len(used) == 1
    start = table.untyped_storage().data_ptr()
    del table
    gc.collect()
    assert str(little_memory) not in Path("/proc/self/maps").read_text()
    assert start not in tables._files


def test_the_dtype_is_that_of_another_table(little_memory: Path) -> None:
    table = new_table(1000, 2, torch.empty(0, dtype=torch.float64))
    table[:] = 0.1
    assert lies_in_file(table)
    assert table.dtype == torch.float64
    assert table.sum().item() == pytest.approx(200.0, abs=1e-9)


@pytest.mark.usefixtures("little_memory")
def test_what_goes_through_a_table_in_a_file_gives_what_it_gives_in_memory() -> None:
    rows = 2 * BLOCK + 5
    table = new_table(rows, 3)
    table.copy_(drawn(rows))
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(0))
    assert lies_in_file(taken := take(table, order))
    assert torch.equal(taken, drawn(rows)[order])
    assert lies_in_file(both := joined([table, taken]))
    assert torch.equal(both, torch.cat([drawn(rows), drawn(rows)[order]]))
    assert torch.equal(mapped(torch.exp, table, table[0]), drawn(rows).exp())
    exact = drawn(rows).double()
    torch.testing.assert_close(mean_row(table), exact.mean(0).float())
    assert sum_of_squares(table).item() == pytest.approx(exact.square().sum().item(), rel=1e-12)
    mean = exact.mean(0)
    assert sum_of_squares(table, mean).item() == pytest.approx((exact - mean).square().sum().item(), rel=1e-12)


def test_rows_are_numbered_by_their_bits() -> None:
    rows = drawn(BLOCK + 3)
    numbers = numbers_of_rows(torch.cat([rows, rows.flip(0)]))
    assert numbers[: len(rows)].tolist() == list(range(len(rows)))
    assert numbers[len(rows) :].tolist() == list(reversed(range(len(rows))))


def test_a_full_disk_is_an_error_before_anything_is_written(
    little_memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OutputError, match=r"no room for embeddings of 0\.03 GB.*No space left.*CORE_ENGINE_CACHE"):
        new_table(1000, 8000)
    assert not list(little_memory.iterdir())


def test_without_posix_fallocate_the_space_is_written(little_memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    table = new_table(3000, 2000)
    assert lies_in_file(table)
    assert not table.any()
