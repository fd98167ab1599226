"""Records as JSON lines."""

from __future__ import annotations

import json
import math

from core_engine import LoggerContext, Record
from core_engine.errors import PluginError
from core_engine_loggers.run_files import LineFile, first_step

_RECORD_KEYS = ("kind", "step", "epoch")


class JsonlLogger:
    """``metrics.jsonl``: one object for each record, ``{"kind", "step", "epoch", **values}``.

    JSON has no NaN and no infinity: both are null.
    """

    def __init__(self, context: LoggerContext) -> None:
        self._file = LineFile(context.run_dir / "metrics.jsonl", first_step(context), _step_of)

    def log(self, record: Record) -> None:
        row: dict[str, object] = {"kind": record.kind, "step": record.step, "epoch": record.epoch}
        for name, value in record.values.items():
            if name in _RECORD_KEYS:
                raise PluginError(f"a value cannot be named {name!r}: every record has that key already; rename it")
            row[name] = float(value) if math.isfinite(value) else None
        self._file.write(json.dumps(row, allow_nan=False) + "\n")

    def progress(self, step: int) -> None:
        """A record says its step itself."""

    def close(self) -> None:
        self._file.close()


def _step_of(line: str) -> int:
    return int(json.loads(line)["step"])
