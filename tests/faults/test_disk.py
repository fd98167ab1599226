"""Disks that are full, and those that cannot be written to."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from disks import Disk
from small_run import small_engine

from core_engine.assembly.prove import first_difference, state_of
from core_engine.errors import OutputError
from core_engine.store.store import EmbeddingStore
from core_engine.training.checkpoint import newest_checkpoint, open_checkpoint


def test_a_disk_that_fills_up_keeps_the_checkpoints_before(disk: Disk, tmp_path: Path) -> None:
    engine = small_engine(disk.path / "runs", every_steps=1, keep=1000)
    filler = disk.fill(leave=1_000_000)
    with pytest.raises(OutputError, match=r"the checkpoint cannot be written .*; earlier ones are intact"):
        engine.run()
    run_dir = engine.run_dir
    assert run_dir is not None
    steps = sorted(run_dir.glob("checkpoints/step-*"))
    assert len(steps) >= 2
    for path in steps:
        open_checkpoint(path)
    assert {path.name for path in run_dir.rglob(".*")} == {".lock"}, "nothing half-written is left"
    filler.unlink()
    for path in steps[:-1]:  # 300 of them have no place
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    stopped = small_engine(disk.path / "runs", every_steps=1, keep=1000)
    assert stopped.run("auto", should_stop=lambda step: step == 24) is None
    assert stopped.run_dir == run_dir
    straight = small_engine(tmp_path / "straight", every_steps=1, keep=1000)
    straight.run(should_stop=lambda step: step == 24)
    assert straight.run_dir is not None
    states = [state_of(newest_checkpoint(folder, "step")) for folder in (run_dir, straight.run_dir)]
    assert states[0]["step"] == 24
    assert first_difference(*states) is None


def test_a_disk_that_is_full_from_the_start(disk: Disk) -> None:
    disk.fill(leave=0)
    with pytest.raises(OutputError, match="No space left on device"):
        small_engine(disk.path / "runs").run()
    assert not list(disk.path.glob("runs/*/checkpoints/*"))


def test_a_disk_that_cannot_be_written_to(disk: Disk) -> None:
    begun = small_engine(disk.path / "runs")
    begun.run(should_stop=lambda step: step == 3)
    disk.make_read_only()
    with pytest.raises(OutputError, match="Read-only file system"):
        small_engine(disk.path / "runs").run("auto")
    with pytest.raises(OutputError, match="Read-only file system"):
        small_engine(disk.path / "others").run()
    assert begun.run_dir is not None
    assert newest_checkpoint(begun.run_dir, "step").step == 3


def test_a_full_store_keeps_what_it_has_and_goes_on(disk: Disk) -> None:
    filler = disk.fill(leave=300_000)
    added = []
    store = EmbeddingStore(disk.path / "store", "teacher", 256)

    def add_without_end() -> None:
        for number in range(1000):
            texts = [f"{number}-{row}" for row in range(8)]
            store.add(texts, torch.full((8, 256), float(number)))
            added.append(texts)

    with pytest.raises(OutputError, match="No space left on device"):
        add_without_end()
    assert len(added) > 5
    filler.unlink()
    store = EmbeddingStore(disk.path / "store", "teacher", 256)
    for number, texts in enumerate(added):
        assert torch.equal(store.get(texts), torch.full((8, 256), float(number)))
    store.add(["more"], torch.ones(1, 256))
    assert torch.equal(store.get(["more"]), torch.ones(1, 256))
