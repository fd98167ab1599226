"""The run's folder."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from core_engine.errors import CheckpointError, OutputError

LOCK_FILE = "recipe.lock.yaml"
RESULT_FILE = "result.json"
CHECKPOINTS = "checkpoints"


def run_label(name: str, control: str) -> str:
    """What the run's folder is named after: a control run must not be taken for the run it stands beside."""
    return name if control == "none" else f"{name}-{control}"


def require_run_dir(run_dir: Path) -> None:
    """CheckpointError where it is no folder."""
    if not run_dir.is_dir():
        amiss = "it is a file" if run_dir.exists() else "there is no such folder"
        raise CheckpointError(f"{run_dir}: no folder of a run: {amiss}; give the run folder that 'run' has printed")


def check_writable(folder: Path) -> None:
    """OutputError where a folder could not be made or written to. Makes nothing: what fails later leaves no trace."""
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        raise OutputError(f"{folder}: {existing} is a file, not a folder; choose another 'output'")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise OutputError(f"{folder}: {existing} is not writable; choose another 'output', or change its permissions")


def new_run_dir(output: Path, name: str) -> Path:
    """A new folder ``output/name-YYYYMMDD-HHMMSS``, with a number after it where that one exists."""
    stamp = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    try:
        output.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, 1000):
            run_dir = output / (stamp if attempt == 1 else f"{stamp}-{attempt}")
            try:
                run_dir.mkdir()
            except FileExistsError:
                continue
            return run_dir
    except OSError as error:
        raise OutputError(
            f"{output}: no run folder can be made there: {error.strerror}; choose another 'output'"
        ) from error
    raise OutputError(f"{output}: there are 999 runs named {stamp} already")


def unfinished_run(output: Path, name: str) -> Path | None:
    """The newest run of that name that has a checkpoint and no result."""
    runs = [
        path
        for path in output.glob(f"{name}-*")
        if re.fullmatch(r"\d{8}-\d{6}(-\d+)?", path.name.removeprefix(f"{name}-"))
        and not (path / RESULT_FILE).exists()
        and any((path / CHECKPOINTS).glob("step-*"))
    ]
    return max(runs, key=lambda path: path.stat().st_mtime, default=None)


def write_atomically(path: Path, text: str) -> None:
    """Writes beside and renames, so that a reader sees the old file or the new one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
