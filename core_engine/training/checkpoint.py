"""Checkpoints: folders written beside and renamed, with digests, so that one is either whole or not there.

``step-N`` holds what a run needs to go on; ``best-N`` holds the core of the best evaluation and is what a finished run
is used by::

    checkpoints/step-00000640/  core.safetensors  state.pt  checkpoint.json
    checkpoints/best-00000512/  core.safetensors  checkpoint.json
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import structlog
import torch
from attrs import frozen
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from core_engine.errors import CheckpointError, OutputError

#: Version of this layout. A checkpoint of another one is refused.
CHECKPOINT_FORMAT = 2

CORE_FILE = "core.safetensors"
STATE_FILE = "state.pt"
MANIFEST_FILE = "checkpoint.json"

#: What reading a state that is none can end with.
_UNREADABLE = (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError, struct.error, zipfile.BadZipFile)

log = structlog.get_logger("core_engine.training")


@frozen
class Checkpoint:
    """A whole checkpoint on disk. ``facts``: what was stored beside the tensors (step, dimensions, metrics)."""

    path: Path
    step: int
    facts: Mapping[str, Any]


def save_checkpoint(
    folder: Path,
    kind: Literal["step", "best"],
    step: int,
    core: nn.Module,
    state: dict[str, Any] | None,
    facts: dict[str, Any],
) -> Path:
    """Writes ``folder/kind-step`` and returns its path; a folder of that name stays as it is.

    ``state`` may hold tensors, numbers, strings, lists and dicts. OutputError where the folder cannot be written.
    """
    path = folder / f"{kind}-{step:08d}"
    if path.exists():
        return path
    beside = folder / f".{path.name}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if beside.exists():
            shutil.rmtree(beside)
        beside.mkdir()
        # Cloned, since safetensors refuses tensors that share memory.
        save_file({k: v.detach().cpu().contiguous().clone() for k, v in core.state_dict().items()}, beside / CORE_FILE)
        if state is not None:
            torch.save(state, beside / STATE_FILE)
        files = {file.name: _digest(file) for file in sorted(beside.iterdir())}
        manifest = {"format": CHECKPOINT_FORMAT, "step": step, "files": files, **facts}
        (beside / MANIFEST_FILE).write_text(_manifest_text(manifest), encoding="utf-8")
        for file in beside.iterdir():
            _sync(file)
        beside.rename(path)
        _sync(folder)
    except (
        OSError,
        RuntimeError,
        SafetensorError,
    ) as error:  # torch and safetensors report a full disk in their own ways
        shutil.rmtree(beside, ignore_errors=True)
        raise OutputError(f"{path}: the checkpoint cannot be written ({error}); earlier ones are intact") from error
    return path


def rotate(folder: Path, keep: int) -> None:
    """Removes all but the newest ``keep`` step checkpoints, and every best one but the newest and those they go back
    to.
    """
    steps = sorted(folder.glob("step-*"))
    for path in steps[:-keep]:
        _remove(path)
    best = sorted(folder.glob("best-*"))
    wanted = {path.name for path in best[-1:]}
    for path in steps[-keep:]:
        try:
            best_step = open_checkpoint(path).facts.get("best_step")
        except CheckpointError:
            continue  # nobody can go on from it; opening it says so
        if best_step is not None:
            wanted.add(f"best-{best_step:08d}")
    for path in best:
        if path.name not in wanted:
            _remove(path)


def discard_after(folder: Path, step: int) -> None:
    """Removes checkpoints later than ``step``: a run that goes on from there writes its own."""
    for left_over in [*folder.glob(".step-*"), *folder.glob(".best-*")]:
        _delete(left_over)  # of a process that was killed while writing or removing
    for kind in ("step", "best"):
        for path in folder.glob(f"{kind}-*"):
            if int(path.name.removeprefix(f"{kind}-")) > step:
                log.info("later checkpoint removed", path=str(path))
                _remove(path)


def open_checkpoint(path: Path) -> Checkpoint:
    """Reads the manifest and checks every file against it. CheckpointError names the file that is missing or
    damaged.
    """
    manifest_path = path / MANIFEST_FILE
    try:
        text = manifest_path.read_text(encoding="utf-8")
        manifest = json.loads(text)
        found_format, step, files = manifest["format"], int(manifest["step"]), dict(manifest["files"])
        if manifest.get("best_step") is not None:
            manifest["best_step"] = int(manifest["best_step"])
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no checkpoint; there is no {MANIFEST_FILE} in it") from error
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, OSError) as error:
        raise CheckpointError(f"{manifest_path}: damaged ({error}); use another checkpoint") from error
    if found_format != CHECKPOINT_FORMAT:
        raise CheckpointError(
            f"{path}: checkpoint format {found_format}, and this engine reads {CHECKPOINT_FORMAT}; "
            f"use the core-engine version that wrote it"
        )
    manifest.pop("digest", None)
    if text != _manifest_text(manifest):
        raise CheckpointError(f"{manifest_path}: damaged: its digest is not its own; use another checkpoint")
    # Only names that this module writes: a manifest cannot point outside its folder.
    for name in (CORE_FILE, STATE_FILE) if path.name.startswith("step-") else (CORE_FILE,):
        if not (path / name).is_file():
            raise CheckpointError(f"{path / name}: missing; use another checkpoint")
        if _digest(path / name) != files.get(name):
            raise CheckpointError(
                f"{path / name}: damaged: its digest is not the one written down; use another checkpoint"
            )
    return Checkpoint(path, step, manifest)


def load_core_weights(checkpoint: Checkpoint, core: nn.Module) -> None:
    """Copies a checkpoint's weights into ``core``. CheckpointError where the core is of another architecture."""
    load_weights(checkpoint, read_weights(checkpoint), core)


def read_weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Of its core. CheckpointError where the file cannot be read."""
    try:
        return load_file(checkpoint.path / CORE_FILE)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{checkpoint.path / CORE_FILE}: cannot be read: {error}") from error


def load_weights(checkpoint: Checkpoint, weights: dict[str, Tensor], core: nn.Module) -> None:
    """Copies weights that are a checkpoint's, or made from them. CheckpointError where the core is of another
    architecture, naming what differs.
    """
    own = core.state_dict()
    differences = [
        f"{name}: {_shape(weights.get(name))} in the checkpoint, {_shape(own.get(name))} in the recipe"
        for name in sorted(weights.keys() | own.keys())
        if _shape(weights.get(name)) != _shape(own.get(name))
    ]
    if differences:
        shown = "; ".join(differences[:5]) + (f"; and {len(differences) - 5} more" if len(differences) > 5 else "")
        raise CheckpointError(f"{checkpoint.path}: a core of another architecture: {shown}")
    core.load_state_dict(weights)


def load_state(checkpoint: Checkpoint) -> dict[str, Any]:
    """The training state of a step checkpoint, read without running any code it may hold."""
    path = checkpoint.path / STATE_FILE
    try:
        with zipfile.ZipFile(path) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                # A few kilobytes could take all memory.
                raise CheckpointError(
                    f"{path}: cannot be read: its records are compressed, as torch does not write them"
                )
        state = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise CheckpointError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: holds {type(state).__name__}, not a training state")
    return state


def newest_checkpoint(run_dir: Path, kind: Literal["step", "best"]) -> Checkpoint:
    """The newest checkpoint of a run. CheckpointError where there is none.

    Damaged step checkpoints are named in a warning and passed over: a run that goes on from an earlier one ends the
    same. The best one must be whole, since an earlier one holds another core.
    """
    folder = run_dir / "checkpoints"
    if kind == "best":
        paths = sorted(folder.glob("best-*"))
        if not paths:
            raise CheckpointError(f"{folder}: no core in it: the run was not evaluated yet; go on with it by --resume")
        return open_checkpoint(paths[-1])
    for path in sorted(folder.glob("step-*"), reverse=True):
        try:
            return open_checkpoint(path)
        except CheckpointError as error:
            log.warning("checkpoint skipped", reason=str(error))
    raise CheckpointError(f"{folder}: no whole step checkpoint in it")


def _shape(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _manifest_text(manifest: Mapping[str, Any]) -> str:
    """With the digest of itself, so that a changed figure is found as a changed file is."""
    digest = hashlib.sha256(json.dumps(manifest).encode()).hexdigest()
    return json.dumps({**manifest, "digest": digest}, indent=2) + "\n"


def _remove(path: Path) -> None:
    """Under another name, so that a process that is killed on the way leaves no half of a checkpoint."""
    out_of_the_way = path.with_name(f".{path.name}.removed")
    path.rename(out_of_the_way)
    _delete(out_of_the_way)


def _delete(path: Path) -> None:
    """A folder, or a link to one, which stays as it is."""
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Makes a file's contents, or a folder's entries, reach the disk. Windows cannot open folders for that."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
