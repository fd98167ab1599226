"""What a run comes to: what ``result.json`` and ``run --json`` hold."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import torch
from attrs import field, frozen

from core_engine.errors import CheckpointError
from core_engine.run.folder import RESULT_FILE

#: Version of result.json.
RESULT_FORMAT = 1


@frozen
class Result:
    """Figures of a finished run.

    ``test`` and each of ``baselines`` have the keys of :func:`core_engine.evaluation.metrics.evaluate`; baselines also
    say how many ``parameters`` they fit. ``untrained``: the core's row before training, its noise and all.
    ``parameters``: trainable parameters of the core.
    ``backend``: what computed the cells; None for a core without a lattice.
    ``rows_per_s``: training rows by second of training steps. ``step_seconds``: where the time of steps went, with
    ``train.profile``.
    ``parameters_without_gradient``: names of those that no gradient reached. ``seconds``: wall clock, in all and by
    phase. ``machine``: what it ran on. ``peak_rss_mb``: highest resident memory of the process, in 10^6 bytes; None
    where the system does not tell. ``peak_device_mb``: highest memory of tensors on a CUDA device, likewise; None
    without one.
    """

    name: str
    run_dir: Path
    seconds: float
    peak_rss_mb: float | None
    peak_device_mb: float | None
    parameters: int
    test: Mapping[str, float]
    untrained: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, float]]
    baselines_left_out: Mapping[str, str]
    validation: Mapping[str, float]
    steps: int
    epochs: int
    best_step: int | None
    stopped: str
    parameters_without_gradient: list[str]
    rows_per_s: float
    step_seconds: Mapping[str, float]
    control: str
    seed: int
    device: str
    backend: str | None
    data: Mapping[str, Any]
    teacher: Mapping[str, Any] | None
    seconds_by_phase: Mapping[str, float]
    versions: Mapping[str, str] = field(factory=lambda: versions())
    machine: Mapping[str, str] = field(factory=lambda: machine())
    format: int = RESULT_FORMAT

    def to_dict(self) -> dict[str, Any]:
        plain = attrs.asdict(self, recurse=False)
        plain["run_dir"] = str(self.run_dir)
        return plain

    def to_json(self) -> str:
        return json.dumps(json_safe(self.to_dict()), indent=2, allow_nan=False) + "\n"


def read_result(run_dir: Path) -> dict[str, Any]:
    """The result of a finished run. CheckpointError where there is none, or a damaged one."""
    path = run_dir / RESULT_FILE
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{run_dir}: no finished run: there is no {RESULT_FILE} in it") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: damaged: {error}") from error
    if not isinstance(result, dict):
        raise CheckpointError(f"{path}: damaged: not a mapping")
    missing = [one.name for one in attrs.fields(Result) if one.default is attrs.NOTHING and one.name not in result]
    if missing:
        raise CheckpointError(f"{path}: damaged: there is no {missing[0]!r} in it")
    return result


def json_safe(value: Any) -> Any:
    """NaN and infinities become null, since JSON has no word for them."""
    if isinstance(value, Mapping):
        return {str(key): json_safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def versions() -> dict[str, str]:
    """Versions that a result depends on."""
    from importlib.metadata import version

    names = ("core-engine", "torch", "transformers")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def machine() -> dict[str, str]:
    """The machine that this process runs on, without its name."""
    found = {"system": platform.platform(), "processor": platform.machine(), "cores": str(os.cpu_count())}
    if torch.cuda.is_available():
        found["accelerator"] = torch.cuda.get_device_name()
    return found


def peak_device_mb(device: torch.device) -> float | None:
    return torch.cuda.max_memory_allocated(device) / 1e6 if device.type == "cuda" else None


def peak_rss_mb() -> float | None:
    """Highest resident memory of this process so far, in 10^6 bytes; None on systems without getrusage (Windows)."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB, macOS in bytes.
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
