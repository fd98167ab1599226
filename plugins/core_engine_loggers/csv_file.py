"""Values as comma-separated lines."""

from __future__ import annotations

import csv
import io

from core_engine import LoggerContext, Record
from core_engine_loggers.run_files import LineFile, first_step

_COLUMNS = ("kind", "step", "epoch", "name", "value")


class CsvLogger:
    """``metrics.csv``: one row for each value, with the columns kind, step, epoch, name, value.

    A row for each record would need all names before the first one is written; a loss part or a metric that turns up
    later would have no column. NaN and infinities stand as ``nan``, ``inf``, ``-inf``, which pandas and numpy read.
    """

    def __init__(self, context: LoggerContext) -> None:
        path = context.run_dir / "metrics.csv"
        self._file = LineFile(path, first_step(context), _step_of, header=",".join(_COLUMNS))

    def log(self, record: Record) -> None:
        rows = io.StringIO()
        csv.writer(rows, lineterminator="\n").writerows(
            (record.kind, record.step, record.epoch, name, float(value)) for name, value in record.values.items()
        )
        self._file.write(rows.getvalue())

    def progress(self, step: int) -> None:
        """A row says its step itself."""

    def close(self) -> None:
        self._file.close()


def _step_of(line: str) -> int:
    return int(line.split(",")[_COLUMNS.index("step")])
