from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from core_engine.errors import CheckpointError, OutputError
from core_engine.training.checkpoint import (
    CORE_FILE,
    MANIFEST_FILE,
    STATE_FILE,
    _manifest_text,
    load_core_weights,
    load_state,
    newest_checkpoint,
    open_checkpoint,
    save_checkpoint,
)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_checkpoint(tmp_path / "checkpoints", "step", 7, nn.Linear(3, 2), {"step": 7}, {"note": "x"})


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    core, other = nn.Linear(3, 2), nn.Linear(3, 2)
    state = {"step": 3, "tensor": torch.arange(4), "nested": {"list": [1.5, "a", None]}}
    checkpoint = open_checkpoint(save_checkpoint(tmp_path, "step", 3, core, state, {"note": "x"}))
    load_core_weights(checkpoint, other)
    assert torch.equal(core.weight, other.weight)
    loaded = load_state(checkpoint)
    assert torch.equal(loaded.pop("tensor"), state.pop("tensor"))
    assert loaded == state
    assert (checkpoint.step, checkpoint.facts["note"]) == (3, "x")
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]


@pytest.mark.parametrize("name", [CORE_FILE, STATE_FILE, MANIFEST_FILE])
def test_a_file_that_is_cut_or_gone_is_found(saved: Path, name: str) -> None:
    file = saved / name
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=name):
        open_checkpoint(saved)
    file.unlink()
    with pytest.raises(CheckpointError):
        open_checkpoint(saved)


@pytest.mark.parametrize("name", [CORE_FILE, STATE_FILE, MANIFEST_FILE])
def test_every_flipped_bit_is_found(saved: Path, name: str) -> None:
    file = saved / name
    content = file.read_bytes()
    for bit in range(len(content) * 8):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(bytes(flipped))
        with pytest.raises(CheckpointError):
            open_checkpoint(saved)
    file.write_bytes(content)
    open_checkpoint(saved)


def test_the_newest_whole_one_is_found(saved: Path) -> None:
    newer = save_checkpoint(saved.parent, "step", 9, nn.Linear(3, 2), {"step": 9}, {})
    (newer / CORE_FILE).write_bytes(b"")
    assert newest_checkpoint(saved.parent.parent, "step").step == 7
    (saved / STATE_FILE).unlink()
    with pytest.raises(CheckpointError, match="no whole step checkpoint"):
        newest_checkpoint(saved.parent.parent, "step")


def test_another_format_is_refused(saved: Path) -> None:
    manifest = json.loads((saved / MANIFEST_FILE).read_text())
    (saved / MANIFEST_FILE).write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(CheckpointError, match="checkpoint format 99"):
        open_checkpoint(saved)


def test_another_architecture_is_named(saved: Path) -> None:
    core = nn.Linear(4, 2, bias=False)
    before = core.weight.clone()
    with pytest.raises(
        CheckpointError, match=r"another architecture: bias: .*; weight: float32 \[2, 3\] in the checkpoint"
    ):
        load_core_weights(open_checkpoint(saved), core)
    assert torch.equal(core.weight, before)


def test_a_state_file_cannot_run_code(saved: Path, tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "owned",))

    torch.save({"step": Payload()}, saved / STATE_FILE)
    checkpoint = open_checkpoint_trusting_digests(saved)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_state(checkpoint)
    (saved / STATE_FILE).write_bytes(pickle.dumps(Payload(), protocol=2))
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_state(checkpoint)
    assert not (tmp_path / "owned").exists()


def open_checkpoint_trusting_digests(path: Path):  # type: ignore[no-untyped-def]
    """An attacker would write matching digests."""
    import hashlib

    manifest = json.loads((path / MANIFEST_FILE).read_text())
    manifest["files"] = {n: hashlib.sha256((path / n).read_bytes()).hexdigest() for n in (CORE_FILE, STATE_FILE)}
    del manifest["digest"]
    (path / MANIFEST_FILE).write_text(_manifest_text(manifest))
    return open_checkpoint(path)


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="earlier ones are intact"):
        save_checkpoint(tmp_path / "file", "step", 1, nn.Linear(1, 1), None, {})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc] . unexpected pos")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match="cannot be written"):
        save_checkpoint(tmp_path, "step", 1, nn.Linear(1, 1), {"step": 1}, {})
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_best_core_is_not_replaced_by_an_older_one(tmp_path: Path) -> None:
    for step in (1, 2):
        save_checkpoint(tmp_path / "checkpoints", "best", step, nn.Linear(1, 1), None, {})
    (tmp_path / "checkpoints" / "best-00000002" / CORE_FILE).write_bytes(b"")
    with pytest.raises(CheckpointError, match="best-00000002"):
        newest_checkpoint(tmp_path, "best")
