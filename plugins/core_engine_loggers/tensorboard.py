"""Records as TensorBoard events."""

from __future__ import annotations

from torch.utils.tensorboard import SummaryWriter

from core_engine import LoggerContext, Record
from core_engine_loggers.run_files import first_step, writing


class TensorBoardLogger:
    """Scalars ``train/NAME`` and ``evaluation/NAME`` over optimiser steps, flushed with every record.

    A resumed run writes an event file of its own, which tells TensorBoard to hide what older files hold from the run's
    first step on.
    """

    def __init__(self, context: LoggerContext) -> None:
        self._folder = context.run_dir / "tensorboard"
        with writing(self._folder):
            self._writer = SummaryWriter(self._folder, purge_step=first_step(context))

    def log(self, record: Record) -> None:
        with writing(self._folder):
            for name, value in record.values.items():
                self._writer.add_scalar(f"{record.kind}/{name}", value, record.step)
            self._writer.flush()

    def progress(self, step: int) -> None:
        """An event says its step itself."""

    def close(self) -> None:
        with writing(self._folder):
            self._writer.close()
