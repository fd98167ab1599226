"""Records as the history of a W&B run."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal

import structlog

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # else it reports to its makers, even in offline mode

import wandb

from core_engine import LoggerContext, Record
from core_engine_loggers.tracking import calling, keep_id, kept_id, locked_recipe

log = structlog.get_logger("core_engine.loggers.wandb")

_SERVICE = "logger wandb"
_REMEDY = "mode: offline needs no server"


class WandbLogger:
    """``train/NAME`` and ``evaluation/NAME`` over ``step``, with ``epoch``, and the locked recipe as configuration.

    A resumed run goes on in the W&B run of the run before. A W&B run that the program has open stays as it is.
    """

    def __init__(
        self, context: LoggerContext, project: str, entity: str | None, mode: Literal["online", "offline"] | None
    ) -> None:
        self._outer_error = sys.exception()
        id_file = context.run_dir / "wandb_run_id.txt"
        with calling(_SERVICE, _REMEDY):
            self._run = wandb.init(
                project=project,
                entity=entity,
                mode=mode,
                dir=str(context.run_dir),
                id=kept_id(context, id_file),
                resume="allow",
                reinit="create_new",
                name=context.run_dir.name,
                config=locked_recipe(context.run_dir),
                # The terminal is the progress bar's.
                settings=wandb.Settings(console="off", silent=True),
            )
            # W&B's own step only grows, and would drop what a resumed run logs again.
            self._run.define_metric("*", step_metric="step")
        keep_id(id_file, self._run.id)
        where = {"folder": str(Path(self._run.dir).parent)} if self._run.offline else {"url": self._run.url}
        log.info("W&B run", id=self._run.id, **where)

    def log(self, record: Record) -> None:
        values = {f"{record.kind}/{name}": float(value) for name, value in record.values.items()}
        with calling(_SERVICE, _REMEDY):
            self._run.log({"step": record.step, "epoch": record.epoch, **values})

    def progress(self, step: int) -> None:
        """A row says its step itself."""

    def close(self) -> None:
        """The W&B run has failed where an error is on its way that was not there when the run began."""
        failed = sys.exception() not in (None, self._outer_error)
        with calling(_SERVICE, _REMEDY, failed):
            self._run.finish(exit_code=int(failed))
