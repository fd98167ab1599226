"""What a few steps of training did, operation by operation."""

from __future__ import annotations

import structlog
from torch._C._autograd import _profiler_enabled
from torch.profiler import profile

from core_engine import LoggerContext, Record
from core_engine.errors import OutputError, TrainingError
from core_engine_loggers.run_files import writing

log = structlog.get_logger("core_engine.loggers.trace")


class TraceLogger:
    """``trace.json``, by PyTorch's profiler: from the first call of ``progress`` after ``skip`` steps of this run or
    more, to the first one ``steps`` later or more.
    """

    def __init__(self, context: LoggerContext, skip: int, steps: int) -> None:
        self._path = context.run_dir / "trace.json"
        self._begin = (context.resumed_step or 0) + skip
        self._steps = steps
        self._end = 0
        self._profile: profile | None = None
        self._written = False

    def log(self, record: Record) -> None:
        """A trace has no figures."""

    def progress(self, step: int) -> None:
        if self._written or step < self._begin:
            return
        if self._profile is None:
            self._profile = _started()
            self._end = step + self._steps
        elif step >= self._end:
            self._write(self._profile)

    def close(self) -> None:
        """Writes what there is, where the run ends within those steps."""
        if self._written:
            return
        if self._profile is None:
            log.warning("no trace: the run ended before it began", begin=self._begin)
        else:
            self._write(self._profile)

    def _write(self, running: profile) -> None:
        self._written, self._profile = True, None
        running.stop()
        with writing(self._path):
            self._path.unlink(missing_ok=True)
        running.export_chrome_trace(str(self._path))
        if not self._path.exists():  # the only sign of a failure
            raise OutputError(f"{self._path}: cannot be written; see to space and permissions")


def _started() -> profile:
    if _profiler_enabled():
        # Two at once crash the process.
        raise TrainingError("logger trace: another profiler of PyTorch is at work in this process; leave one out")
    started = profile()
    started.start()
    return started
